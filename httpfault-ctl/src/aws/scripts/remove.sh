# Ends faults and looks at once whether they are off. Any version of the agent can; the newest sound one is taken.
root=/var/lib/httpfault
@TELL@
@FIND@
set -- @WHICH@
if [ -n "$agent" ]; then
    tell "$agent" remove "$@" --output json
    removed=$?
    [ "$1" != --all ] || shift
    tell "$agent" status "$@" --output json || exit
    exit "$removed"
fi
for state in /run/httpfault/*/; do
    if [ -d "$state" ]; then
        echo "there is state in /run/httpfault and no agent on this host to remove it" >&2
        exit 1
    fi
done
echo '{"exit":0,"removed":[]}'
echo '{"faults":[]}'
