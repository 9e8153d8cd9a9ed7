image=$(printf %s '@IMAGE@' | base64 -d)
command -v docker >/dev/null 2>&1 || { echo "docker is not installed" >&2; exit 1; }
registry=${image%%/*}
# The password that ECR gives to the instance role, for this pull only.
login() {
    rest=${registry#*.dkr.ecr.}
    api=${AWS_ENDPOINT_URL_ECR:-https://api.ecr.$rest}
    role_keys && as_role ecr "${rest%%.*}" "$api/" "$aside" <<'REQUEST' || return 1
header = "Content-Type: application/x-amz-json-1.1"
header = "X-Amz-Target: AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
data = "{}"
REQUEST
    mkdir "$aside.docker"
    DOCKER_CONFIG=$aside.docker
    export DOCKER_CONFIG
    field authorizationToken <"$aside" | base64 -d | cut -d: -f2- | tr -d '\n' |
        docker login --username AWS --password-stdin "$registry" >/dev/null 2>"$aside.why"
}
pulled=
if ! docker image inspect "$image" >/dev/null 2>&1; then
    if ! docker pull "$image" >/dev/null 2>"$aside.why"; then
        case $registry in
        *.dkr.ecr.*) ;;
        *) echo "pulling $image: $(why)" >&2 && exit 1 ;;
        esac
        login || { echo "the instance role could not log in to $registry: $(why)" >&2; exit 1; }
        docker pull "$image" >/dev/null 2>"$aside.why" || { echo "pulling $image: $(why)" >&2; exit 1; }
    fi
    pulled=1
fi
container=$(docker create "$image" none 2>"$aside.why") || { echo "docker create $image: $(why)" >&2; exit 1; }
found=
for path in "/usr/local/bin/httpfault-agent-$(uname -m)" /usr/local/bin/httpfault-agent /httpfault-agent; do
    [ -n "$found" ] || ! docker cp "$container:$path" "$aside" >/dev/null 2>"$aside.why" || found=1
done
docker rm "$container" >/dev/null 2>&1 || true
[ -z "$pulled" ] || docker image rm "$image" >/dev/null 2>&1 || true
[ -n "$found" ] || { echo "$image has no httpfault-agent: $(why)" >&2; exit 1; }
