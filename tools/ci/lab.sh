#!/bin/sh
# Boots the lab's two hosts, and lets this account, which Pulumi runs as, read the key that opens them.
set -eu
cd "$(dirname "$0")/../.."

sudo env "PATH=$PATH" npm run lab -- up
sudo chown "$(id -u)" .lab .lab/default .lab/default/admin_key .lab/default/known_hosts
