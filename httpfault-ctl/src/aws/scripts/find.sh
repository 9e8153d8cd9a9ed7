agent=
for place in $(ls -t "$root"/agents/*/httpfault-agent 2>/dev/null) /usr/local/bin/httpfault-agent \
    /usr/bin/httpfault-agent /opt/httpfault/httpfault-agent; do
    [ -f "$place" ] && [ -x "$place" ] || continue
    name=${place%/httpfault-agent}
    case $name in
    "$root"/agents/*) [ "$(sha256sum <"$place" | cut -c1-64)" = "${name##*/}" ] || continue ;;
    esac
    agent=$place
    break
done
