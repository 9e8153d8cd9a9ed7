# Downloads the agent, plain or gzipped, checks it and renames it into place.
set -eu
umask 077
root=/var/lib/httpfault
to=$root/agents/@SHA@
url=$(printf %s '@URL@' | base64 -d)
mkdir -p "$to"
chmod 0700 "$root" "$root/agents" "$to"
aside=$(mktemp "$to/.aside.XXXXXX")
trap 'rm -f "$aside" "$aside.plain"' EXIT
if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --max-time 90 --output "$aside" "$url"
elif command -v wget >/dev/null 2>&1; then
    wget -q -T 90 -O "$aside" "$url"
else
    echo "neither curl nor wget is installed" >&2
    exit 1
fi
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
