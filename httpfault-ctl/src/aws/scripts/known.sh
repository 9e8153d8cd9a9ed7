case $(uname -m) in
x86_64) sha=@X86_64@ ;;
aarch64) sha=@AARCH64@ ;;
*) sha= ;;
esac
decoded() { printf %s "$1" | base64 -d; }
# The agent that the caller has in mind is the one that this document knows, or nothing is done.
known() {
    [ -n "$sha" ] && [ "$1" = "$sha" ] && return
    echo "this document is for the agent ${sha:-(none for this architecture)}: httpfault-ctl document --register" >&2
    exit 1
}
