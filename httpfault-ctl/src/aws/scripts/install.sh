# Puts the pieces together, checks the whole and renames it into place. Another controller that does the same brings
# the same bytes, so the last rename wins and nothing is lost.
set -eu
umask 077
root=/var/lib/httpfault
from=$root/incoming/@SHA@
to=$root/agents/@SHA@
ready() {
    [ -f "$to/httpfault-agent" ] && [ "$(sha256sum <"$to/httpfault-agent" | cut -c1-64)" = @SHA@ ]
}
if ready; then
    # Another controller was faster; what it still sends is pruned some day.
    echo "httpfault: ready $(uname -m)"
    exit 0
fi
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
    # A piece was damaged on this disk, or another controller has finished and cleared them away: all of them are
    # sent again, unless the agent is there by now.
    rm -rf "$from" 2>/dev/null || true
    echo "httpfault: missing @PIECES@"
    exit 0
fi
chmod 0700 "$aside"
mv -f "$aside" "$to/httpfault-agent"
rm -rf "$from" 2>/dev/null || true
@PRUNE@
echo "httpfault: ready $(uname -m)"
