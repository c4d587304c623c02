# shellcheck shell=sh
# Has the lock from when it makes the file started.RESOURCE until there is one called go-on.
#   FOLDER  where they are
#   CHILD   a command that it starts and does not wait for
# shellcheck disable=SC2034
TRIAL_DIR=$FOLDER/trial

apply() {
  : >"$FOLDER/started.$RESOURCE"
  sh -c "$CHILD" &
  until [ -e "$FOLDER/go-on" ] || [ -e "$FOLDER/go-on.$RESOURCE" ]; do sleep 0.05; done
}

arm() { echo "armed for $1" >&2; }
clear_trial() { :; }
