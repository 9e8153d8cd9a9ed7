shift
spec=
while [ $# -ge 3 ]; do
    [ "$1" != "${AWS_SSM_INSTANCE_ID:-}" ] || { known "$2"; spec=$3; }
    shift 3
done
if [ -z "$spec" ]; then
    echo "nothing is planned for this host (AWS_SSM_INSTANCE_ID=${AWS_SSM_INSTANCE_ID:-not set})" >&2
    exit 1
fi
