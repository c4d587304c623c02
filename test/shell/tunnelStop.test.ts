import { describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells } from "../support/shells.ts";

/** The real script, with a library that only prints what it is asked for. */
const library = `
TAB=$(printf '\\t')
NL='
'
SERVICE=ssh-tunnel-nas METRICS=/nonexistent/run/ssh-tunnel-nas.prom TRIAL_SECONDS=60
MARKED=$NL
RECORDED="\${NL}file\${TAB}/etc/systemd/system/ssh-tunnel-nas.service\${NL}unit\${TAB}ssh-tunnel-nas.service\${NL}file\${TAB}/srv/metrics/ssh-tunnel-nas.prom\${NL}key\${TAB}~root/.ssh/authorized_keys\${TAB}marker\${TAB}AAAA\${NL}"
need_cmd() { :; }
systemctl() { echo "systemctl $*"; }
stop_unit() { echo "stop $1"; }
fail() { echo "error: $*"; exit 3; }
on_trial() { [ "$TRIAL_IS_ON" = yes ]; }
comes_through_service() { [ "$1 $COMES_THROUGH" = "ssh-tunnel-nas.service yes" ]; }
`;
const run = (shell: string[], values: string) =>
  runScript(shell, `${values}\n${library}\n${readScript("tunnelStop")}\napply\nprintf %s "$MARKED"\n`);

describe.each(shells)("the stop of a disabled tunnel in %s", (_name, shell) => {
  test("stops its units, and keeps on record what is not a login's or a metrics file's", () => {
    const { stdout } = run(shell, "TRIAL_IS_ON=no COMES_THROUGH=no");
    expect(stdout.split("\n").filter((line) => line !== "")).toEqual([
      "stop ssh-tunnel-nas-watchdog.timer",
      "stop ssh-tunnel-nas.service",
      "systemctl stop ssh-tunnel-nas-watchdog.service",
      "file\t/etc/systemd/system/ssh-tunnel-nas.service",
      "unit\tssh-tunnel-nas.service",
    ]);
  });

  test.each([
    [
      "the session that it runs in comes through the tunnel",
      "TRIAL_IS_ON=no COMES_THROUGH=yes",
      "error: this session comes through the tunnel that is to be disabled, and would end with it; nothing was changed: ",
    ],
    [
      "a change is on trial",
      "TRIAL_IS_ON=yes COMES_THROUGH=no",
      "error: a change to the tunnel is still on trial, and the host rolls it back within 60s; run 'pulumi up' again then",
    ],
  ])("stops nothing if %s", (_what, values, error) => {
    const { stdout } = run(shell, values);
    expect(stdout.trim().split("\n")).toEqual([expect.stringContaining(error)]);
  });
});
