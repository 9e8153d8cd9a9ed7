# Runs the fault in the foreground: this command is InProgress as long as the fault is on. Each host finds its own
# part by its instance id.
umask 077
@TELL@
if [ "$(date +%s)" -gt @NOT_AFTER@ ]; then
    echo "this command came too late and nothing was done (or the host's clock is wrong)" >&2
    exit 1
fi
@CHOOSE@
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
# The report of many targets may be longer than what SSM shows.
if [ "${#spec}" -gt 3000 ]; then
    tell "$agent" run --output json --spec "$spec"
    exit
fi
exec "$agent" run --output json --spec "$spec"
