# Puts the pieces together, checks the whole and renames it into place. Another controller that does the same brings
# the same bytes, so the last rename wins and nothing is lost.
set -eu
umask 077
root=/var/lib/httpfault
from=$root/incoming/@SHA@
to=$root/agents/@SHA@
missing=
for piece in @PIECES@; do
    [ -f "$from/$piece" ] || missing="$missing $piece"
done
if [ -n "$missing" ]; then
    echo "httpfault: missing$missing"
    exit 0
fi
mkdir -p "$to"
chmod 0700 "$root" "$root/agents" "$to"
aside=$(mktemp "$to/.aside.XXXXXX")
trap 'rm -f "$aside"' EXIT
for piece in @PIECES@; do cat "$from/$piece"; done | gzip -dc >"$aside" || true
if [ "$(sha256sum <"$aside" | cut -c1-64)" != @SHA@ ]; then
    # A piece was damaged on this disk: all of them are fetched again.
    rm -rf "$from"
    echo "httpfault: missing @PIECES@"
    exit 0
fi
chmod 0700 "$aside"
mv -f "$aside" "$to/httpfault-agent"
rm -rf "$from"
@PRUNE@
echo "httpfault: ready $(uname -m)"
