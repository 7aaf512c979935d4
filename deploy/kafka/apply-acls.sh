#!/bin/sh
# Add the rights of acls.csv to a cluster:  PREFIX=hookline ./apply-acls.sh --bootstrap-server host:port [--command-config admin.properties]
# Adding what is there changes nothing. Needs kafka-acls.sh of Kafka 4.0 or later on the PATH.
set -eu
prefix=${PREFIX:-hookline}
folder=$(dirname "$0")
sed 1d "$folder/acls.csv" | sed "s/{prefix}/$prefix/" | while IFS=, read -r principal resource pattern name operations; do
  wanted=""
  for operation in $operations; do wanted="$wanted --operation $operation"; done
  # shellcheck disable=SC2086  # several words on purpose
  kafka-acls.sh "$@" --add --allow-principal "User:$principal" --resource-pattern-type "$pattern" "--$resource" "$name" $wanted </dev/null
done
