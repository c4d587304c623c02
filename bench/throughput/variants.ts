import type { Pair } from "../pair.ts";

/** Plain ssh with other options. */
export interface Variant {
  id: string;
  title: string;
  options: string[];
}

/** Where each variant listens on the public host. */
export const VARIANT_PORT = 8100;

const UNIT = "bench-variant";

/** Ciphers first, then other options that are said to matter. */
export const allVariants: Variant[] = [
  { id: "default", title: "OpenSSH's defaults", options: [] },
  cipher("aes128-gcm@openssh.com"),
  cipher("aes256-gcm@openssh.com"),
  cipher("chacha20-poly1305@openssh.com"),
  {
    id: "aes128-ctr-etm",
    title: "`aes128-ctr` with `umac-64-etm@openssh.com`",
    options: ["-c", "aes128-ctr", "-m", "umac-64-etm@openssh.com"],
  },
  { id: "compression", title: "defaults, `Compression yes`", options: ["-C"] },
  ...["none", "lowdelay", "throughput"].map((value) => ({
    id: `ipqos-${value}`,
    title: `defaults, \`IPQoS ${value}\``,
    options: ["-o", `IPQoS=${value}`],
  })),
];

/** Starts a variant and waits until it works. */
export async function startVariant(pair: Pair, { options }: Variant): Promise<void> {
  await stopVariant(pair);
  const forward = ["-R", `0.0.0.0:${VARIANT_PORT}:127.0.0.1:7000`, `tunnel@${pair.gate.address}`];
  const command = ["/usr/bin/ssh", "-N", "-o", "ExitOnForwardFailure=yes", ...options, ...forward];
  await pair.nas.run(
    `systemd-run --quiet --collect --unit ${UNIT} -p Restart=always -p RestartSec=0.2 ${command.join(" ")}`,
  );
  await pair.answers(VARIANT_PORT, 20);
}

/** Ends the running variant. */
export async function stopVariant(pair: Pair): Promise<void> {
  await pair.nas.run(`systemctl stop ${UNIT} 2>/dev/null || :`);
}

function cipher(name: string): Variant {
  return { id: name.replace("@openssh.com", ""), title: `\`${name}\``, options: ["-c", name] };
}
