# What an experiment of AWS FIS asks for, in parameters. Each has a pattern whose characters mean nothing between single
# quotes. The fault is in the foreground: what ends this command, ends it.
@KNOWN@
@FUNCTIONS@
fail() {
    echo "$2" >&2
    exit "$1"
}
b64() { printf %s "$1" | base64 | tr -d '\n'; }
action='{{ action }}' id='{{ experimentId }}'
[ -n "$id" ] || [ "$action" = run ] || fail 64 "experimentId says which fault is meant"
[ -n "$id" ] || id=fis-$SSM_COMMAND_ID

# The containers of that name on this host, of the chosen tasks or of the family.
choose() {
    name='{{ containerName }}' family='{{ taskFamily }}' tasks='{{ tasks }}'
    [ -n "$name" ] || fail 64 "containerName says which container of the task is faulted"
    [ -n "$family$tasks" ] || fail 64 "taskFamily or tasks say which tasks are faulted"
    command -v docker >/dev/null 2>&1 || fail 1 "docker is not installed, so this is no container instance of ECS"
    label=label=com.amazonaws.ecs
    chosen=
    for container in $(docker ps --quiet --no-trunc --filter "$label.container-name=$name" \
        ${family:+--filter "$label.task-definition-family=$family"}); do
        task=$(docker inspect "$container" | sed -n 's/.*"com.amazonaws.ecs.task-arn": "\([^"]*\)".*/\1/p' | head -n 1)
        case ${tasks:+,$tasks,} in
        '' | *",${task##*/},"*) chosen="$chosen --container $container" ;;
        esac
    done
    [ -n "$chosen" ] || fail 1 "no container $name of ${family:-the chosen tasks} runs on this host"
}

# From S3 by the role of the instance, out of an image, or from a web server; where nothing is named it must be there.
bring() {
    from=$(printf %s '{{ agentSource }}' | sed "s/{arch}/$(uname -m)/")
    case $(do_probe) in *"httpfault: ready"*) return ;; esac
    case $from in
    '') ;;
    s3://*)
        key=${from#s3://}
        object=https://${key%%/*}.s3.$AWS_SSM_REGION_NAME.amazonaws.com/${key#*/}
        (do_s3 "$(b64 "$from")" "$(b64 "$object")" "$(b64 "$AWS_SSM_REGION_NAME")" "$(b64 "$object")") >&2
        ;;
    https://* | http://*) (do_url "$(b64 "$from")") >&2 ;;
    *) (do_image "$(b64 "$from")") >&2 ;;
    esac
    [ $? = 0 ] || exit 1
}

run() {
    choose
    known "$sha"
    bring
    locate_agent
    set -f
    set -- $chosen
    for path in $(printf %s '{{ paths }}' | tr , ' '); do set -- "$@" --path "$path"; done
    for path in $(printf %s '{{ excludePaths }}' | tr , ' '); do set -- "$@" --exclude-path "$path"; done
    exec "$agent" run --output json --experiment-id "$id" --duration '{{ durationSeconds }}' --port '{{ port }}' \
        --proxy-port '{{ proxyPort }}' --status-code '{{ statusCode }}' --percent '{{ percent }}' \
        --modify-response-body '{{ modifyResponseBody }}' --existing-connections '{{ existingConnections }}' "$@"
}

# Seen by a second command: the fault of this experiment is on.
prove() {
    root=/var/lib/httpfault
    tries=60
    while [ $tries -gt 0 ]; do
        find_agent
        [ -z "$agent" ] || seen=$("$agent" status --experiment-id "$id" --output json)
        case ${seen:-} in *'"phase":"on"'*) break ;; esac
        tries=$((tries - 1))
        sleep 1
    done
    [ $tries -gt 0 ] || fail 1 "the fault $id is not on: ${seen:-no agent is on this host}"
    printf '%s\n' "$seen" | cut -c1-2000
}

umask 077
case $action in
run) run ;;
prove) prove ;;
remove) do_remove "$(b64 "$id")" ;;
esac
