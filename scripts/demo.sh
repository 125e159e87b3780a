#!/usr/bin/env bash
# `make demo`: from nothing to a running, self-healing service, by the real AWS CLI. Every command is
# printed before it runs, and every answer is checked: the status is 0 only if all was as told.
# DEMO_LISTEN=HOST:PORT chooses another address. Without a terminal it cleans up and ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/stage.sh
listen=${DEMO_LISTEN:-127.0.0.1:4747}
data=$PWD/.demo/data
server=

# --- Before anything starts -------------------------------------------------------------------------

[ "$(id -u)" = 0 ] ||
    refuse "running containers takes root: namespaces, cgroups and mounts are made." \
        'Try: sudo env "PATH=$PATH" make demo'
grep -qE ' cgroup2? ' /proc/self/mounts ||
    refuse "no cgroups are mounted, so limits could not be kept." \
        "Try: mount -t cgroup2 none /sys/fs/cgroup; in a container, run it --privileged."
[ ! -x target/release/wharf ] || [ ! -e .demo/data ] || target/release/wharf down --data-dir .demo/data >/dev/null 2>&1 || true
if (exec 3<>"/dev/tcp/${listen%:*}/${listen##*:}") 2>/dev/null; then
    refuse "$listen is taken by another program (ss -ltnp 'sport = :${listen##*:}' shows which)." \
        "Stop it, or choose another address: DEMO_LISTEN=127.0.0.1:4848 make demo"
fi
scripts/setup.sh
PATH=$PWD/target/release:$PWD/.venv/bin:$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
say "Building Wharf (minutes the first time, then seconds)..."
cargo build --release --quiet -p wharf

# --- The end, whatever comes ------------------------------------------------------------------------

curtain() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    if [ -n "$server" ]; then
        chapter "The end: nothing may be left"
        printf '%s$ wharf down --data-dir .demo/data%s\n' "$bold" "$plain"
        wharf down --data-dir .demo/data || status=1
        local tag
        tag=$(printf %s "$data" | sha256sum | cut -c1-6)
        # Links, rules, sockets, cgroups, mounts, and processes that have files of the data folder open.
        if { ip -o link; nft list tables; ls /run/wharf; find /sys/fs/cgroup -maxdepth 3 -name 'wharf-*'
             cat /proc/self/mounts; find /proc/[0-9]*/fd -lname "/run/wharf/$tag/*" -o -lname "$data/*"; } 2>/dev/null |
            grep -e "$tag" -e "$data" -e '^/proc/'; then
            say "${red}✗ wharf down left the above behind$plain"
            status=1
        else
            say "  ${green}✓ no process, mount, cgroup, link or firewall rule is left$plain"
        fi
        rm -rf .demo/data
    fi
    exit "$status"
}
trap curtain EXIT
trap 'exit 130' INT TERM

# --- The story --------------------------------------------------------------------------------------

rm -rf .demo
mkdir -p .demo
cargo xtask image --out .demo/hello-image >/dev/null # What a Dockerfile would do, without a base image.
unset "${!AWS_@}" "${!WHARF_@}"
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null REGISTRY_AUTH_FILE=$PWD/.demo/auth.json
SECONDS=0

chapter "One command: API, scheduler, container runtime, registry and logs"
printf '%s$ wharf up --data-dir .demo/data --listen %s &%s\n' "$bold" "$listen" "$plain"
setsid wharf up --data-dir .demo/data --listen "$listen" >.demo/wharf.log 2>&1 </dev/null &
server=$!
until_true 20 "wharf up" "curl -fsS http://$listen/readyz || ! kill -0 $server"
kill -0 $server 2>/dev/null || fail "wharf up has ended"
until_true 5 "wharf env" "wharf env --data-dir .demo/data"
printf '%s$ eval "$(wharf env --data-dir .demo/data)"%s\n' "$bold" "$plain"
eval "$(wharf env --data-dir .demo/data)"
run "aws ecs describe-clusters --query 'clusters[].[clusterName,status,registeredContainerInstancesCount]' --output text"
expect "this machine is an instance of the cluster default" '[[ $answer == default*ACTIVE*1 ]]'
run "aws ecs list-container-instances --output text"

chapter "An image: pushed to ECR, which is the same port"
run "aws ecr create-repository --repository-name hello --query repository.repositoryUri --output text"
run "aws ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin $listen"
run "skopeo copy --quiet --dest-tls-verify=false oci:.demo/hello-image:hello docker://$listen/hello:1"
run "aws ecr describe-images --repository-name hello --query 'imageDetails[].[imageTags[0],imageSizeInBytes]' --output text"
expect "the repository has the image" '[[ $answer == 1[[:space:]]* ]]'

chapter "A task"
run "aws logs create-log-group --log-group-name /demo"
run "aws ecs register-task-definition --cli-input-json file://examples/hello/task-definition.json --query taskDefinition.taskDefinitionArn --output text"
keep task "aws ecs run-task --task-definition hello --query 'tasks[0].taskArn' --output text"
run 'aws ecs wait tasks-running --tasks $task'
keep port "aws ecs describe-tasks --tasks \$task --query 'tasks[0].containers[0].networkBindings[0].hostPort' --output text"
until_true 5 "the task's port" 'curl -fsS http://127.0.0.1:$port/'
run 'curl -s http://127.0.0.1:$port/'
expect "the program answers on its published port" '[[ $answer == "Hello from "* ]]'
run "aws ecs stop-task --task \$task --reason 'seen enough' --query task.desiredStatus --output text"

chapter "A service: two of them, whatever happens"
run "aws ecs create-service --service-name web --task-definition hello --desired-count 2 --query service.status --output text"
run "aws logs get-log-events --log-group-name /demo --log-stream-name web/hello/\${task##*/} --query 'events[].[message]' --output text"
expect "the first task's output is in CloudWatch Logs" '[[ $answer == *"hello: GET / HTTP/1.1"* ]]'
run "aws ecs wait services-stable --services web"
keep tasks "aws ecs list-tasks --service-name web --query 'taskArns[]' --output text"
run "aws ecs describe-tasks --tasks \$tasks --query 'tasks[].[taskArn,lastStatus,containers[0].networkBindings[0].hostPort]' --output text"
ports=$(awk '{print $3}' <<<"$answer")
for port in $ports; do
    run "curl -s http://127.0.0.1:$port/"
    expect "it answers" '[[ $answer == "Hello from "* ]]'
done
until_true 20 "a steady state" "aws ecs describe-services --services web --query 'services[0].events[0].message' --output text | grep 'steady state'"
run "wharf ps"

chapter "Kill one's process, and look again"
keep victim "aws ecs list-tasks --service-name web --query 'taskArns[0]' --output text"
process=
for pid in $(pgrep -x hello); do # The program's host name is the beginning of its task's id.
    id=${victim##*/}
    ! tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "HOSTNAME=${id:0:12}" || process=$pid
done
[ -n "$process" ] || fail "the process of $victim is not to be found"
killed=$(date +%s.%N)
run "kill -9 $process    # the program of ${victim##*/}"
until_true 20 "a replacement" "[ \$(aws ecs list-tasks --service-name web --output text | grep -vc ${victim##*/}) = 2 ]"
tasks=$(aws ecs list-tasks --service-name web --query 'taskArns[]' --output text)
until_true 20 "its start" "aws ecs describe-tasks --tasks \$tasks --query 'tasks[].[startedAt]' --output text | sort -n | tail -n 1 | grep -v None"
replaced=$(awk -v a="$killed" -v b="$(date -d "${answer/#[0-9]*.[0-9]*/@$answer}" +%s.%N)" 'BEGIN { printf "%.0f", (b - a) * 1000 }')
run "aws ecs describe-tasks --tasks \$victim --query 'tasks[0].[lastStatus,stopCode,stoppedReason,containers[0].exitCode]' --output text"
expect "the task has ended as ECS words it" '[[ $answer == *EssentialContainerExited*137 ]]'
run "aws ecs describe-services --services web --query 'services[0].events[:4].[message]' --output text"
expect "another one runs, $replaced ms after the kill" '[ "$replaced" -gt 0 ] && [ "$replaced" -lt 20000 ]'

chapter "A new revision, rolled out without a gap"
run "aws ecs register-task-definition --cli-input-json \"\$(sed 's/Hello/Welcome/' examples/hello/task-definition.json)\" --query taskDefinition.taskDefinitionArn --output text"
run "aws ecs update-service --service web --task-definition hello --query 'service.deployments[].[status,rolloutState,taskDefinition]' --output text"

chapter "Meanwhile: mistakes, answered as ECS answers them"
run "aws ecs register-task-definition --cli-input-json \"\$(sed 's/hello:1/hello:typo/; s/\\\"family\\\": \\\"hello\\\"/\\\"family\\\": \\\"typo\\\"/' examples/hello/task-definition.json)\" --query taskDefinition.taskDefinitionArn --output text"
keep typo "aws ecs run-task --task-definition typo --query 'tasks[0].taskArn' --output text"
run 'aws ecs wait tasks-stopped --tasks $typo'
run "aws ecs describe-tasks --tasks \$typo --query 'tasks[0].[stopCode,stoppedReason]' --output text"
expect "an image that does not exist is told" '[[ $answer == TaskFailedToStart*CannotPullContainerError* ]]'
run "aws ecs run-task --task-definition hello --overrides '{\"containerOverrides\":[{\"name\":\"hello\",\"memory\":9000000}]}' --query 'failures[].[reason,detail]' --output text"
expect "a task too large for this machine is told" '[[ $answer == RESOURCE:MEMORY* ]]'

chapter "The new revision is there"
run "aws ecs wait services-stable --services web"
keep tasks "aws ecs list-tasks --service-name web --query 'taskArns[]' --output text"
run "aws ecs describe-tasks --tasks \$tasks --query 'tasks[].[taskDefinitionArn,lastStatus,healthStatus,containers[0].networkBindings[0].hostPort]' --output text"
ports=$(awk '{print $4}' <<<"$answer")
for port in $ports; do
    until_true 5 "the task's port" "curl -fsS http://127.0.0.1:$port/"
    run "curl -s http://127.0.0.1:$port/"
    expect "it welcomes" '[[ $answer == "Welcome from "* ]]'
done
run "aws ecs describe-services --services web --query 'services[0].events[].[message]' --output text"
expect "the service is steady" '[[ $answer == *"has reached a steady state."* ]]'
run "wharf ps"
run "wharf logs web | tail -n 4"

chapter "One address for all of them: a load balancer"
keep subnets "aws ec2 describe-subnets --query 'Subnets[].SubnetId' --output text"
keep vpc "aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text"
keep group "aws elbv2 create-target-group --name web --protocol HTTP --port 8080 --vpc-id \$vpc --health-check-interval-seconds 5 --health-check-timeout-seconds 2 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn' --output text"
run "aws elbv2 modify-target-group-attributes --target-group-arn \$group --attributes Key=deregistration_delay.timeout_seconds,Value=5 --query 'Attributes[0].[Key,Value]' --output text"
keep balancer "aws elbv2 create-load-balancer --name web --subnets \$subnets --query 'LoadBalancers[0].LoadBalancerArn' --output text"
door=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
run "aws elbv2 create-listener --load-balancer-arn \$balancer --protocol HTTP --port $door --default-actions Type=forward,TargetGroupArn=\$group --query 'Listeners[0].[Protocol,Port]' --output text"
keep name "aws elbv2 describe-load-balancers --names web --query 'LoadBalancers[0].DNSName' --output text"
run "aws ecs update-service --service web --load-balancers targetGroupArn=\$group,containerName=hello,containerPort=8080 --query 'service.loadBalancers[].[containerName,containerPort]' --output text"
run "aws ecs wait services-stable --services web"
run "aws elbv2 wait target-in-service --target-group-arn \$group"
run "curl -s http://$name:$door/"
expect "the load balancer's name answers" '[[ $answer == "Welcome from "* ]]'

chapter "A new deployment under load: nothing is lost"
scripts/load.py "http://127.0.0.1:$door/" --rate 100 --seconds 12 >.demo/load.txt 2>&1 &
load=$!
run "aws ecs update-service --service web --force-new-deployment --query 'service.deployments[].[status,rolloutState]' --output text"
wait $load || fail "requests were lost: $(cat .demo/load.txt)"
run "cat .demo/load.txt    # 100 requests a second, all the while"
expect "no request was lost" '[[ $answer == *" 0 lost"* ]]'
run "aws ecs wait services-stable --services web"

chapter "It grows with its load, and shrinks when that ends"
scaled="--service-namespace ecs --scalable-dimension ecs:service:DesiredCount --resource-id service/default/web"
label=${balancer#*loadbalancer/}/${group##*:}
run "aws application-autoscaling register-scalable-target $scaled --min-capacity 2 --max-capacity 6 --query ScalableTargetARN --output text"
run "aws application-autoscaling put-scaling-policy $scaled --policy-name requests --policy-type TargetTrackingScaling --target-tracking-scaling-policy-configuration 'TargetValue=3000,ScaleInCooldown=5,ScaleOutCooldown=5,PredefinedMetricSpecification={PredefinedMetricType=ALBRequestCountPerTarget,ResourceLabel=$label}' --query 'Alarms[].[AlarmName]' --output text"
scripts/load.py "http://127.0.0.1:$door/" --rate 200 --seconds 45 >.demo/load.txt 2>&1 &
load=$! begun=$SECONDS
say "200 requests a second for 45 s; the policy wants 3,000 a minute for each task..."
until_true 40 "more tasks" "[ \$(aws ecs describe-services --services web --query 'services[0].runningCount' --output text) -ge 4 ]"
grown=$((SECONDS - begun))
run "wharf top --once"
run "aws application-autoscaling describe-scaling-activities --service-namespace ecs --resource-id service/default/web --query 'ScalingActivities[].[Cause]' --output text"
expect "it has grown to four tasks or more, $grown s after the load began, and says why" '[[ $answer == *"the target is"* ]]'
wait $load || fail "requests were lost: $(cat .demo/load.txt)"
run "cat .demo/load.txt"
expect "no request was lost while it grew" '[[ $answer == *" 0 lost"* ]]'
begun=$SECONDS
say "The load has ended. It waits a good minute, so as not to flap..."
until_true 180 "fewer tasks" "[ \$(aws ecs describe-services --services web --query 'services[0].desiredCount' --output text) = 2 ]"
run "aws application-autoscaling describe-scaling-activities --service-namespace ecs --resource-id service/default/web --query 'ScalingActivities[0].[Description]' --output text"
expect "it is back at two tasks, $((SECONDS - begun)) s after the load ended" '[[ $answer == *"2"* ]]'

chapter "That was it"
say "$checks checks passed in $SECONDS s; the killed task was replaced in $replaced ms."

# --- Yours ------------------------------------------------------------------------------------------

[ -t 0 ] && [ -t 1 ] || exit 0
cat <<HINT

It runs on, and is yours until Ctrl-C. In another terminal:

  cd $PWD && PATH=\$PWD/target/release:\$PWD/.venv/bin:\$PATH
  eval "\$(wharf env --data-dir .demo/data)"

  wharf ps                                                    services and tasks
  wharf top                                                   the same under load, live
  wharf logs -f web                                           what they print
  curl http://$name:$door/                     through the load balancer
  aws ecs update-service --service web --desired-count 5      more of them
  curl http://127.0.0.1:${port}/crash                          one ends itself, and is replaced
  aws ecs describe-services --services web --query 'services[0].events[:5]'
HINT
trap 'echo; exit 0' INT TERM
while kill -0 $server 2>/dev/null; do sleep 1; done
fail "wharf up has ended"
