refuse() { echo "$1" >&2; exit 3; }
if [ -d "$1" ]; then
    echo folder
    exec tar -cf - -C "$1" .
elif [ -f "$1" ]; then
    stat -Lc 'file %a %Y' "$1" && exec cat "$1"
elif [ -e "$1" ]; then
    refuse "\`$1\` is neither a file nor a folder"
else
    refuse "no file or folder \`$1\`"
fi
