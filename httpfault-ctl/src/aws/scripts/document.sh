# What a caller may ask: one word of those below, with words of letters, digits and + / = . _ - after it. Nothing in a
# request is ever run; the agent has to have the SHA-256 that this document names.
request=$(printf %s '{{ request }}' | base64 -d | gzip -dc) || request=
case $request in
'' | *[!A-Za-z0-9+/=._\ -]*)
    echo "the request is malformed" >&2
    exit 64
    ;;
esac
@KNOWN@
@FUNCTIONS@
set -f
set -- $request
set +f
verb=$1
shift
case $verb in
probe | piece | install | url | s3 | image)
    known "$1"
    shift
    ;;
run | status | remove) ;;
*)
    echo "the request asks for nothing that this document does" >&2
    exit 64
    ;;
esac
"do_$verb" "$@"
