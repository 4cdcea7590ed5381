to=$1 name=$2 kind=$3
refuse() { echo "$1" >&2; exit 3; }
# Moves what is whole to its place; folders that are there take what is new.
place() {
    if [ -d "$1" ] && [ ! -L "$1" ] && [ -d "$2" ]; then
        local one
        for one in "$1"/* "$1"/.[!.]* "$1"/..?*; do
            if [ -e "$one" ] || [ -L "$one" ]; then
                place "$one" "$2/${one##*/}" || return
            fi
        done
    elif [ -d "$2" ] && [ ! -L "$2" ]; then
        refuse "\`$2\` is a folder already"
    else
        mv -fT "$1" "$2"
    fi
}
if [ -d "$to" ]; then
    [ "$name" = . ] || to=${to%/}/$name
elif [ "$to" != "${to%/}" ]; then
    refuse "no folder \`$to\`"
fi
dir=${to%/*}
[ -d "$dir/" ] || refuse "no folder \`$dir\`"
if [ -d "$to" ]; then
    [ "$kind" = folder ] || refuse "\`$to\` is a folder already"
    dir=${to%/}
elif [ -e "$to" ] && [ "$kind" = folder ]; then
    refuse "\`$to\` is a file already"
fi
work=$dir/.ukl-cp-$$
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$work" && tar -xof - -C "$work" || exit 1
[ -e "$work/end" ] || { echo "the archive ended too early" >&2; exit 1; }
place "$work/c" "$to"
