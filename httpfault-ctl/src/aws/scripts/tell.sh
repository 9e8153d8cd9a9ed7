# Of an output SSM shows 24,000 characters. What is longer goes compressed, which a hundred targets fit in.
tell() {
    said=$("$@")
    code=$?
    if [ "${#said}" -lt 20000 ]; then
        printf '%s\n' "$said"
    else
        printf 'httpfault: gzip %s\n' "$(printf '%s\n' "$said" | gzip -c | base64 | tr -d '\n')"
    fi
    return "$code"
}
