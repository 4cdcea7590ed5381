# What the two tutorials share: numbered steps, a scratch folder, a network of their own. Sourced, not run.
# With UKL=PROGRAM that one is used; otherwise `ukl` is built first.
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
net=ukl-tutorial-$$
# Guests of these scripts are nobody else's.
export XDG_STATE_HOME=$work/state

finish() {
    tmux -S "$work/tmux" kill-server 2>/dev/null || true
    for guest in "$XDG_STATE_HOME"/ukl/guests/*; do
        [ ! -d "$guest" ] || ukl rm --force "$(basename "$guest")" >/dev/null 2>&1 || true
    done
    ip netns delete "$net" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# step NUMBER WHAT COMMAND...: one line when it succeeds; everything it said, and the end, when it fails.
step() {
    local number=$1 what=$2
    shift 2
    if "$@" >"$work/log" 2>&1 </dev/null; then
        printf 'ok    %-5s %s\n' "$number" "$what"
    else
        printf 'FAIL  %-5s %s\n' "$number" "$what"
        echo "command: $*"
        cat "$work/log"
        exit 1
    fi
}

# leave_out NUMBER WHAT WHY
leave_out() {
    printf 'skip: %-5s %s: %s\n' "$1" "$2" "$3"
}

# nothing NUMBER WHAT: a step of the text that is not one here.
nothing() {
    printf -- '-     %-5s %s\n' "$1" "$2"
}

# section TITLE
section() {
    printf '\n%s\n' "$1"
}

# says TEXT COMMAND...: the command succeeds, and TEXT is in what it says.
says() {
    local text=$1 output
    shift
    output=$("$@" 2>&1) || { echo "$output"; return 1; }
    echo "$output"
    [[ $output == *"$text"* ]] || { echo "-- no \`$text\` in that"; return 1; }
}

# soon TEXT COMMAND...: as says, once what the guest is about to write has arrived.
soon() {
    local i
    for ((i = 0; i < 100; i++)); do
        if says "$@" >/dev/null; then break; fi
        sleep 0.1
    done
    says "$@"
}

# is WANT COMMAND...: the command's output is exactly WANT.
is() {
    local want=$1 output
    shift
    output=$("$@") || return 1
    [ "$output" = "$want" ] || { printf 'not `%s` but `%s`\n' "$want" "$output"; return 1; }
}

# in_net COMMAND...: in a network of our own, where we may make one.
in_net() {
    "${enter[@]}" "$@"
}

has_net() {
    [ -e "/run/netns/$net" ]
}

# The namespace of the bridge; without one, guests are reached at forwarded ports of this machine.
make_net() {
    host=127.0.0.1
    enter=(env)
    no_net=
    if [ "$(id -u)" != 0 ]; then
        no_net="only root makes bridges"
    elif [ ! -e /dev/net/tun ] || ! ip netns add "$net" 2>/dev/null; then
        no_net="this machine makes no network namespaces, or has no /dev/net/tun"
    else
        enter=(ip netns exec "$net")
        in_net ip link set lo up
        host=172.44.0.2
    fi
}

bridge_up() {
    in_net ip link add virbr0 type bridge &&
        in_net ip addr add 172.44.0.1/24 dev virbr0 &&
        in_net ip link set virbr0 up &&
        says 172.44.0.1/24 in_net ip addr show virbr0
}

bridge_down() {
    in_net ip link set virbr0 down && in_net ip link delete virbr0
}

# menuconfig OPTION KEY: the kernel's screens in a terminal of their own: finds the option, presses the key, saves.
menuconfig() {
    local tmux="tmux -S $work/tmux" i screens
    TERM=xterm $tmux -f /dev/null new-session -d -x 100 -y 40 "ukl menuconfig; echo ended \$?; sleep 60" || return 1
    # Types keys and waits until the screen is another one; 2 s later it will not change any more.
    types() {
        local before
        before=$($tmux capture-pane -p)
        $tmux send-keys "$@"
        for ((i = 0; i < 20; i++)); do
            if [ "$($tmux capture-pane -p)" != "$before" ]; then return; fi
            sleep 0.1
        done
    }
    shows() {
        for ((i = 0; i < 1500; i++)); do
            if $tmux capture-pane -p | grep -qF "$1"; then return; fi
            sleep 0.2
        done
        $tmux capture-pane -p
        echo "-- no \`$1\` on that screen"
        return 1
    }
    shows Linux/x86 && $tmux send-keys / && shows "Search Configuration Parameter" &&
        $tmux send-keys "$1" Enter && shows "Symbol: $1 [" && types 1 && types "$2" || return 1
    for ((screens = 0; screens < 20; screens++)); do
        types Escape Escape
        if $tmux capture-pane -p | grep -q 'wish to save\|ended'; then break; fi
    done
    $tmux send-keys y && shows "ended 0" && $tmux kill-server
}

if [ -z "${UKL:-}" ]; then
    cargo build --release --locked --quiet --manifest-path "$root/Cargo.toml" --package ukl
    UKL=${CARGO_TARGET_DIR:-$root/target}/release/ukl
fi
mkdir "$work/bin"
ln -s "$(realpath "$UKL")" "$work/bin/ukl"
PATH=$work/bin:$PATH
cd "$work"
