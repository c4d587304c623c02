import type { Host } from "../../../lab/host.ts";

/** What Debian's policy refuses to Debian's own udev and systemd-tmpfiles at each boot. */
const AT_BOOT = /scontext=system_u:system_r:(udev|systemd_tmpfiles)_t:/;

/**
 * That `ip` changes its domain: refused where a service may gain no privileges, and then it runs in ours. The kernel says so
 * twice, since it looks for another rule that would permit it.
 */
const OF_IP = new RegExp(
  '{ nnp_transition } .* comm="network" scontext=\\S+:initrc_t:\\S+ tcontext=\\S+:ifconfig_t:|' +
    "op=security_bounded_transition .* oldcontext=\\S+:initrc_t:\\S+ newcontext=\\S+:ifconfig_t:",
);

/** A refusal, as auditd writes it and as the kernel does; what else is said of SELinux is about its policy and its mode. */
const DENIED = "avc: +denied|type=(SELINUX_ERR|1401) ";

/** What else SELinux has refused since a moment of the host's clock, a line each, as the audit log has it. */
export async function denialsSince(host: Host, since: number): Promise<string[]> {
  // Before auditd has started, the kernel's log has them.
  const { stdout } = await host.run(
    `ausearch --input-logs --raw -m avc,user_avc,selinux_err 2>/dev/null; journalctl -q -k -o cat | grep -E '${DENIED}' || :`,
  );
  const lines = stdout.split("\n").filter((line) => {
    const time = /audit\((\d+\.\d+):/.exec(line)?.[1];
    return (
      time !== undefined &&
      Number(time) >= since &&
      new RegExp(DENIED).test(line) &&
      !AT_BOOT.test(line) &&
      !OF_IP.test(line)
    );
  });
  return [...new Set(lines)];
}

/** Now, by the host's clock. */
export async function timeOf(host: Host): Promise<number> {
  return Number((await host.run("date +%s.%3N")).stdout);
}
