import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

/** What sshd does with Port and ListenAddress (servconf.c, fill_default_server_options), as tried with OpenSSH 9.2. */
const sshd = String.raw`
  ask_sshd() {
    { for word; do case $word in Port\ *|ListenAddress\ *) echo "$word" ;; esac; done; printf '%s\n' "$CONFIGURATION"; } |
      awk -v forced="$FORCED" '
        $1 == "Port" && !forced { ports[++p] = $2 }
        $1 == "ListenAddress" { addresses[++a] = $2 }
        END {
          if (forced) { p = 1; ports[1] = forced }
          if (!p) { p = 1; ports[1] = 22 }
          if (!a) { a = 2; addresses[1] = "[::]"; addresses[2] = "0.0.0.0" }
          for (i = 1; i <= p; i++) print "port", ports[i]
          for (j = 1; j <= a; j++) {
            if (addresses[j] ~ /^[^:]+:[0-9]+$|\]:[0-9]+$/) print "listenaddress", addresses[j]
            else for (i = 1; i <= p; i++) print "listenaddress", addresses[j] ":" ports[i]
          }
        }'
  }`;

describe.each(shells)("what has sshd listen on another port as well, found with %s,", (_, shell) => {
  const lines = (configuration: string[], forced = "") => {
    const text = `HOST=gate OWNER=p-s ACCOUNTS='tunnel-*' ADMIN=root ADD_PORT=443 DAEMON_OPTIONS=
      CONFIGURATION='${configuration.join("\n")}' FORCED='${forced}'
      NL='\n'
      kind() { :; }
      ${["messages", "sshd", "sshdAccess", "sshServer"].map(readScript).join("\n")}
      ${sshd}
      set -eu
      port_lines || echo none`;
    const { stdout, stderr, status } = runScript(shell, text);
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    return stdout.trim().split("\n");
  };

  test.each([
    ["nothing of ports", [], ["Port 22", "Port 443"]],
    ["a Port", ["Port 22"], ["Port 443"]],
    ["two", ["Port 22", "Port 2222"], ["Port 443"]],
    ["a ListenAddress", ["ListenAddress 127.0.0.1"], ["Port 22", "Port 443"]],
    ["a ListenAddress with a port", ["ListenAddress 127.0.0.1:22"], ["ListenAddress 127.0.0.1:443"]],
    [
      "several with ports",
      ["ListenAddress 127.0.0.1:22", "ListenAddress [::1]:2200", "ListenAddress 127.0.0.1:2222"],
      ["ListenAddress 127.0.0.1:443", "ListenAddress [::1]:443"],
    ],
    ["some with a port", ["ListenAddress 127.0.0.1:22", "ListenAddress 127.0.0.2"], ["Port 22", "Port 443"]],
    ["that port", ["Port 22", "Port 443"], [""]],
  ])("keeps every listener that there is, if its configuration has %s", (_what, configuration, expected) => {
    expect(lines(configuration)).toEqual(expected);
  });

  test("does not exist if its command line has a port", () => {
    expect(lines([], "22")).toEqual(["none"]);
  });
});

describe.each(shells)("sshd's other port in %s", (_, shell) => {
  /** What these functions of the script print and return, with others replaced. */
  const run = (others: string, call: string) => {
    const text = `HOST=gate OWNER=p-s ACCOUNTS='tunnel-*' ADMIN=root ADD_PORT=8443 DAEMON_OPTIONS= DAEMON=12
      NL='\n'
      kind() { :; }
      ${["messages", "printable", "sshd", "sshdAccess", "sshServer"].map(readScript).join("\n")}
      sleep() { :; }
      roll_back_and_fail() { echo "error: $1"; exit 3; }
      ${others}
      set -eu
      ${call}`;
    const { stdout, stderr, status } = runScript(shell, text);
    expect(stderr).toBe("");
    return { said: stdout.trim(), status };
  };
  const listener = (line: string) => `list_sockets() { echo '${line}'; }`;

  test("is held by whoever listens there, unless that is the sshd that reloads, whatever it calls itself", () => {
    expect(run(listener("* 8443 0 12 sshd"), "port_holder").said).toBe("");
    expect(run(listener("* 8443 1000 77 sshd"), "port_holder").said).toBe("sshd (pid 77)");
    expect(run(listener("* 8443 0 1 systemd"), "port_holder").said).toBe("systemd (pid 1)");
    expect(run("list_sockets() { :; }", "port_holder").said).toBe("");
  });

  test("is listened at only if that sshd does, or systemd for it", () => {
    const listens = (line: string, moves = "") =>
      run(listener(line), `MOVE_SOCKET=${moves}; find_daemon() { :; }; listens_in_time`).status;
    expect(listens("* 8443 0 12 sshd")).toBe(0);
    expect(listens("* 8443 0 10,12 sshd")).toBe(0);
    expect(listens("* 8443 1000 77 sshd")).toBe(1);
    expect(listens("* 8443 0 1 systemd")).toBe(1);
    expect(listens("* 8443 0 1 systemd", "yes")).toBe(0);
  });

  test("is not taken away while tunnels come in there", () => {
    const lose = (users: string, listeners: string) =>
      run(
        `listeners() { printf '%s\\n' ${listeners}; }
        tunnels_at() { printf '%s' '${users}'; }
        DROP_IN_DIR=/etc/ssh/sshd_config.d`,
        "refuse_loss 443",
      );
    expect(lose("", "0.0.0.0:22").status).toBe(0);
    expect(lose("tunnel-nas", "0.0.0.0:22 0.0.0.0:443").status).toBe(0);
    const { said, status } = lose("tunnel-nas\ntunnel-shop", "0.0.0.0:22 0.0.0.0:4430");
    expect(status).toBe(3);
    expect(said).toContain(
      "error: sshd would no longer listen on port 443, where tunnels come in (tunnel-nas tunnel-shop); first write",
    );
  });

  test("stays open while other stacks need it: their keys run a program of this one, or their tunnels come in there", () => {
    const close = (serves: string, dropIn: string, { stacks = "", tunnels = "", others = "" }) =>
      run(
        `SERVES=${serves} DROP_IN_DIR=$(mktemp -d) DROP_IN_FILE=$DROP_IN_DIR/00-p-s.conf
        trap 'rm -r "$DROP_IN_DIR"' EXIT
        printf '%s' '${dropIn}' >"$DROP_IN_FILE"
        printf '%s' '${others}' >"$DROP_IN_DIR/00-p-other.conf"
        fail() { echo "error: $1"; exit 3; }
        print_evict_stale() { echo /opt/p-s/bin/evict-stale; }
        stacks_served_by() { printf '%s' '${stacks}'; }
        # A removal is given no ACCOUNTS.
        unset ACCOUNTS
        STATE=/state
        sessions_at() { [ "$1" = 443 ] && printf '%s' '${tunnels}\nroot\n'; }
        find_records() { case "$*" in *tunnel-*) echo record ;; esac; }`,
        "refuse_while_serving",
      );
    const listens = "# Listens also at port 443\nPort 22\nPort 443\n";
    const site = { stacks: "p-site" };
    for (const dropIn of ["", listens]) {
      const { said, status } = close(dropIn ? "443" : "yes", dropIn, site);
      expect(status).toBe(3);
      expect(said).toContain("would be cut: p-site; sshd stays as it is");
    }
    expect(close("443", "", site).status).toBe(0);
    expect(close("443", "# Listens also at port 4430\n", site).status).toBe(0);
    expect(close("yes", listens, {}).status).toBe(0);
    // Another stack manages the host for them by now, or their own ones do.
    const tunnels = "tunnel-nas\ntunnel-shop";
    for (const [serves, dropIn] of [
      ["443", ""],
      ["443", listens],
      ["yes", listens],
    ] as const) {
      const { said, status } = close(serves, dropIn, { tunnels });
      expect(status).toBe(3);
      expect(said).toContain(
        "error: tunnels of other stacks still come in at port 443, which this would close: tunnel-nas tunnel-shop; it stays open",
      );
      expect(close(serves, dropIn, { tunnels, others: listens }).status).toBe(0);
    }
    expect(close("yes", "", { tunnels }).status).toBe(0);
  });
});
