# The URL goes by a file, not by the command line, which every user of the host can read.
download() {
    if command -v curl >/dev/null 2>&1; then
        printf 'url = "%s"\n' "$1" |
            curl --fail --silent --show-error --location --retry 3 --max-time 60 --output "$aside" --config - 2>"$aside.why"
    elif command -v wget >/dev/null 2>&1; then
        printf '%s\n' "$1" | wget -nv -T 60 -O "$aside" -i - 2>"$aside.why"
    else
        echo "neither curl nor wget is installed" >"$aside.why"
        return 1
    fi
}
