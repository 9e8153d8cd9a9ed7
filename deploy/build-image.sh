#!/bin/sh
# Builds the image of the chaos pod from an archive of `cargo xtask dist`; needs docker and no network.
#
#   deploy/build-image.sh target/dist/out/httpfault-0.1.0-x86_64.tar.gz registry.example.com/httpfault:0.1.0
#
# The archive's architecture is that of the nodes the pod runs on; agents for both kinds of hosts are in each archive.
# CA_CERTIFICATES names another bundle than this machine's.
set -eu

if [ $# -ne 2 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 64
fi
archive=$1 tag=$2
case $archive in
*-x86_64.tar.gz) platform=linux/amd64 ;;
*-aarch64.tar.gz) platform=linux/arm64 ;;
*)
    echo "$archive: its name must end in -x86_64.tar.gz or -aarch64.tar.gz" >&2
    exit 64
    ;;
esac

certificates=${CA_CERTIFICATES:-}
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    [ -n "$certificates" ] || [ ! -f "$bundle" ] || certificates=$bundle
done
if [ -z "$certificates" ]; then
    echo "no bundle of CA certificates on this machine: install ca-certificates, or set CA_CERTIFICATES" >&2
    exit 1
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
tar --extract --gzip --file "$archive" --directory "$context" --strip-components 1
(cd "$context" && sha256sum --check --quiet SHA256SUMS)
cp "$certificates" "$context/ca-certificates.crt"
# Whatever the umask was: the pod's user is not the one who builds.
chmod 0755 "$context"/httpfault-*
chmod 0644 "$context/ca-certificates.crt" "$context"/LICENSE-* "$context/THIRD-PARTY.md" "$context/BUILD"

docker build --platform "$platform" --tag "$tag" --file "$(dirname "$0")/Dockerfile" "$context"
