# Ends faults. Any version of the agent can; the newest sound one is taken.
root=/var/lib/httpfault
@FIND@
if [ -n "$agent" ]; then
    exec "$agent" remove @WHICH@ --output json
fi
for state in /run/httpfault/*/; do
    if [ -d "$state" ]; then
        echo "there is state in /run/httpfault and no agent on this host to remove it" >&2
        exit 1
    fi
done
echo '{"exit":0,"removed":[]}'
