# Is the agent there? If not, which of its pieces are?
set -u
umask 077
root=/var/lib/httpfault
agent=$root/agents/@SHA@/httpfault-agent
sum() { sha256sum <"$1" 2>/dev/null | cut -c1-64; }
for place in "$agent" /usr/local/bin/httpfault-agent /usr/bin/httpfault-agent /opt/httpfault/httpfault-agent; do
    if [ -f "$place" ] && [ "$(sum "$place")" = @SHA@ ]; then
        echo "httpfault: ready $(uname -m)"
        exit 0
    fi
done
pieces=
for piece in "$root/incoming/@SHA@"/*; do
    [ -f "$piece" ] && pieces="$pieces ${piece##*/}"
done
if [ -f "$agent" ]; then
    echo "httpfault: damaged$pieces"
else
    echo "httpfault: absent$pieces"
fi
