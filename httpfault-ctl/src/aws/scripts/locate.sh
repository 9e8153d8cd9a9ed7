# The agent with this checksum, wherever it may be; one that was used is pruned later than others.
agent=
for place in "/var/lib/httpfault/agents/$sha/httpfault-agent" /usr/local/bin/httpfault-agent \
    /usr/bin/httpfault-agent /opt/httpfault/httpfault-agent; do
    if [ -f "$place" ] && [ "$(sha256sum <"$place" | cut -c1-64)" = "$sha" ]; then
        agent=$place
        break
    fi
done
if [ -z "$agent" ]; then
    echo "no httpfault-agent with SHA-256 $sha on this host" >&2
    exit 1
fi
touch -c "${agent%/*}" 2>/dev/null || true
