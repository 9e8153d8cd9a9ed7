# Keeps one piece of the compressed agent, under the name of its checksum. Written aside and renamed: a piece that is
# there is whole, whoever else brings it at the same time.
set -eu
umask 077
dir=/var/lib/httpfault/incoming/@SHA@
mkdir -p "$dir"
aside=$(mktemp "$dir/.aside.XXXXXX")
trap 'rm -f "$aside"' EXIT
printf %s '@DATA@' | base64 -d >"$aside"
sum=$(sha256sum <"$aside" | cut -c1-16)
if [ "$sum" != '@PIECE@' ]; then
    echo "piece '@PIECE@' arrived as $sum" >&2
    exit 1
fi
mv -f "$aside" "$dir/"'@PIECE@'
echo "httpfault: kept $sum"
