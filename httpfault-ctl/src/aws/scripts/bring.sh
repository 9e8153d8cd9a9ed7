# Gets the agent, plain or gzipped, checks it and renames it into place. What is above the checksum decides nothing:
# whatever comes, from wherever, has to have it.
set -eu
umask 077
root=/var/lib/httpfault
to=$root/agents/@SHA@
mkdir -p "$to"
chmod 0700 "$root" "$root/agents" "$to"
aside=$(mktemp "$to/.aside.XXXXXX")
trap 'rm -rf "$aside" "$aside.plain" "$aside.why" "$aside.docker"' EXIT
# The reason of the last failure in one line.
why() { tr '\n' ' ' <"$aside.why" | sed 's/  *$//' | cut -c1-300; }
@GET@
if gzip -t <"$aside" 2>/dev/null; then
    gzip -dc <"$aside" >"$aside.plain"
    mv -f "$aside.plain" "$aside"
fi
sum=$(sha256sum <"$aside" | cut -c1-64)
if [ "$sum" != @SHA@ ]; then
    echo "the download has SHA-256 $sum instead of @SHA@" >&2
    exit 1
fi
chmod 0700 "$aside"
mv -f "$aside" "$to/httpfault-agent"
@PRUNE@
echo "httpfault: ready $(uname -m)"
