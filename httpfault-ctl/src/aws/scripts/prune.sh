# Other versions go when nothing runs them and nobody has used them for a day.
for old in "$root/agents"/*/; do
    old=${old%/}
    [ "$old" != "$root/agents/@SHA@" ] || continue
    [ -n "$(find "$old" -maxdepth 0 -mtime +0 2>/dev/null)" ] || continue
    used=
    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in "$old"/*) used=1 ;; esac
    done
    [ -n "$used" ] || rm -rf "$old"
done
find "$root/incoming" -mindepth 1 -maxdepth 1 -mtime +0 -exec rm -rf {} + 2>/dev/null || true
