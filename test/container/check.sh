#!/usr/bin/env bash
# Builds the image of the Dockerfile and runs it as an operator does: as the user 1000, with only the
# configuration file mounted. With Docker where its daemon answers; else (as root on Debian) with buildah, over
# a base image that is made here of Debian's base system and the Node that `npm ci` brought along.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Tools of the system, which are not on everybody's path.
export PATH="$PATH:/usr/sbin:/sbin"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/fleetwarden.yaml" <<'YAML'
partner: {base_url: "http://127.0.0.1:1/api", token: none, org_id: 016b78a7-0c7c-4241-a277-015c3ad3cb90}
alerting:
  route: {receiver: nobody}
  receivers: [{name: nobody}]
YAML
chmod 755 "$work"
chmod 644 "$work/fleetwarden.yaml"

# What happens inside. Every line that begins with "not ok" is a failure.
cat > "$work/inside.sh" <<'SH'
expect() { if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "not ok: $1: $2 in the place of $3"; fi; }
file=/etc/fleetwarden/fleetwarden.yaml
ask='const [path, pattern] = process.argv.slice(1)
for (let tries = 100; ; tries--) {
  try {
    const text = await (await fetch("http://127.0.0.1:9469" + path)).text()
    console.log(new RegExp(pattern, "m").exec(text)?.[0] ?? text)
    break
  } catch (error) {
    if (tries === 0) throw error
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}'
expect 'runs as an unprivileged user' "$(id -u):$(id -g)" 1000:1000
expect 'cannot change its own program' "$(touch src/main.ts package.json 2>/dev/null && echo changed)" ''
node src/main.ts check --config $file
expect 'finds the configuration and the shipped rules without a fault' $? 0
node src/main.ts run --config $file > /data/log 2>&1 &
service=$!
expect 'is alive' "$(node --input-type=module -e "$ask" /-/healthy '^healthy$')" healthy
expect 'says what it was built from' "$(node --input-type=module -e "$ask" /metrics 'revision="[^"]*"')" 'revision="test"'
kill -TERM $service
wait $service
expect 'ends in peace when it is told to' $? 0
expect 'keeps its state in the volume, for nobody else to read' "$(stat -c %a /data/fleetwarden.db)" 600
cat /data/log
SH

if docker info > /dev/null 2>&1; then
  docker build --quiet --build-arg REVISION=test --tag fleetwarden:check .
  output=$(docker run --rm --read-only --entrypoint sh \
    --volume "$work:/check:ro" --volume "$work/fleetwarden.yaml:/etc/fleetwarden/fleetwarden.yaml:ro" \
    fleetwarden:check /check/inside.sh 2>&1) || true
  health=$(docker inspect --format '{{json .Config.Healthcheck.Test}}' fleetwarden:check)
else
  if ! command -v buildah > /dev/null || ! command -v debootstrap > /dev/null; then
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah debootstrap > /dev/null
  fi
  b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }

  node=$(echo node_modules/node-linux-*/bin/node)
  npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
  base=$work/base
  debootstrap --variant=minbase --include=ca-certificates bookworm "$base" > "$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log"; exit 1; }
  mkdir -p "$base/usr/local/lib/node_modules"
  cp "$node" "$base/usr/local/bin/node"
  cp -r "$npm" "$base/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
  # How this machine reaches packages: the base image is thrown away with everything else.
  if [ -f "$HOME/.npmrc" ]; then cp "$HOME/.npmrc" "$base/root/.npmrc"; fi
  container=$(b from scratch)
  if [ -n "${NODE_EXTRA_CA_CERTS:-}" ]; then
    cp "$NODE_EXTRA_CA_CERTS" "$base/extra-ca.pem"
    b config --env NODE_EXTRA_CA_CERTS=/extra-ca.pem "$container"
  fi
  b copy -q "$container" "$base" / > /dev/null
  b config --env PATH=/usr/local/bin:/usr/bin:/bin "$container"
  b commit -q "$container" docker.io/library/node:24-bookworm-slim > /dev/null
  b rm "$container" > /dev/null

  b bud --quiet --pull-never --isolation chroot --format docker --build-arg REVISION=test --tag fleetwarden:check .
  container=$(b from --pull-never localhost/fleetwarden:check)
  output=$(b run --isolation chroot \
    --volume "$work/inside.sh:/check/inside.sh:ro" \
    --volume "$work/fleetwarden.yaml:/etc/fleetwarden/fleetwarden.yaml:ro" \
    "$container" -- sh /check/inside.sh 2>&1) || true
  health=$(b inspect --type image localhost/fleetwarden:check | grep -m1 -o -- '/-/healthy' || true)
  b rm --all > /dev/null
fi

echo "$output"
failures=$(grep -c '^not ok' <<< "$output" || true)
[ "$(grep -c '^ok: ' <<< "$output")" -eq 7 ] || failures=$((failures + 1))
case "$health" in
  */-/healthy*) echo 'ok: the image carries its health check' ;;
  *) echo "not ok: the image carries no health check: $health" && failures=$((failures + 1)) ;;
esac
[ "$failures" -eq 0 ]
