case ${AWS_SSM_INSTANCE_ID:-} in
@CASES@
*)
    echo "nothing is planned for this host (AWS_SSM_INSTANCE_ID=${AWS_SSM_INSTANCE_ID:-not set})" >&2
    exit 1
    ;;
esac
