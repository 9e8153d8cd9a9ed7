# Calls AWS as the instance role: its keys come from the metadata service, curl signs. They go to curl through standard
# input, never over a command line.
metadata=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
metadata=${metadata%/}
ask_metadata() { curl --fail --silent --show-error --noproxy '*' --connect-timeout 3 --max-time 10 "$@" 2>"$aside.why"; }
field() { tr ',{}' '\n\n\n' | sed -n "s/^[^\"]*\"$1\" *: *\"\([^\"]*\)\".*/\1/p" | head -n 1; }
role_keys() {
    command -v curl >/dev/null 2>&1 || { echo "curl is not installed" >"$aside.why"; return 1; }
    token=$(ask_metadata -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$metadata/latest/api/token") || return 1
    roles=$metadata/latest/meta-data/iam/security-credentials/
    role=$(ask_metadata -H "X-aws-ec2-metadata-token: $token" "$roles") || return 1
    keys=$(ask_metadata -H "X-aws-ec2-metadata-token: $token" "$roles$role") || return 1
}
# as_role SERVICE REGION URL OUTPUT, with more of curl's configuration on standard input.
as_role() {
    {
        cat
        printf 'url = "%s"\naws-sigv4 = "aws:amz:%s:%s"\n' "$3" "$2" "$1"
        printf 'user = "%s:%s"\n' "$(printf %s "$keys" | field AccessKeyId)" "$(printf %s "$keys" | field SecretAccessKey)"
        printf 'header = "x-amz-security-token: %s"\n' "$(printf %s "$keys" | field Token)"
    } | curl --fail --silent --show-error --connect-timeout 5 --max-time 40 --output "$4" --config - 2>"$aside.why"
}
