import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { printedLine, validateOutput } from "../../remote/validateOutput.ts";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Forward, PortRange } from "../../settings/forward.ts";
import { defaultPortRange, forwardWord } from "../../settings/forward.ts";
import type { Host } from "../../remote/host.ts";
import { knownOr } from "../../remote/knownOr.ts";
import { inputError } from "../../settings/inputError.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";

/** Arguments of {@link remotePorts}. */
export interface RemotePortsArgs {
  /** The tunnel's account there. Its own listeners do not count as a conflict. */
  account: string;
  /** The forwards whose ports are checked or chosen. */
  forwards: Forward[];
  /** Where in the range to begin, for each forward with the port `auto`. */
  starts: Record<string, pulumi.Input<number>>;
  /** The range of the ports for `auto`. */
  portRange: PortRange;
  /**
   * The port of this host by which Pulumi reaches the internal host, for example through a tunnel made by hand, and the
   * internal host's name, for an error.
   *
   * @default Pulumi reaches it in another way
   */
  admin?: { port: pulumi.Input<number>; inside: string } | undefined;
}

/**
 * The ports that a tunnel listens on. Each must be free, or held by this tunnel already, and not reserved for another
 * tunnel. For `auto`, the host takes the first free port from a start in the range, and keeps it.
 *
 * Fails with the program, its pid and its account if a port is in use; if that is a tunnel that somebody has opened with
 * ssh, also with the address that it comes from.
 */
export function remotePorts(args: RemotePortsArgs): Part {
  const { first, last } = args.portRange;
  const words = args.forwards.map((forward) => {
    const { name, remotePort } = forward;
    const port =
      remotePort === "auto"
        ? pulumi.interpolate`auto:${args.starts[name]!}`
        : pulumi.output(String(remotePort));
    return port.apply((text) => forwardWord(forward, text));
  });
  return {
    script: "remotePorts",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FORWARDS: pulumi.all(words).apply((all) => all.join(" ")),
      RANGE: `${first} ${last}`,
      ...(args.admin
        ? {
            ADMIN_PORT: pulumi.output(args.admin.port).apply((port) => String(assertValid("number", port))),
            INSIDE: assertValid("host", args.admin.inside),
          }
        : {}),
    },
  };
}

/** The range, 20000 to 29999 by default. Throws an error that begins with the host if the range is invalid. */
export function resolveRange(host: string, { first, last }: PortRange = defaultPortRange): PortRange {
  [first, last].forEach((port) => assertValid("number", port));
  if (Number(first) > Number(last)) {
    throw inputError(`the portRange of ${host} must not end at ${last}, before its first port ${first}`);
  }
  return { first, last };
}

/**
 * The start in the range for each `auto` port. It is random, so that independent stacks rarely collide.
 *
 * @param nameOf the name of the resource for a forward
 */
export function randomStarts(
  forwards: Forward[],
  { first, last }: PortRange,
  nameOf: (forward: string) => string,
  opts: pulumi.CustomResourceOptions,
): Record<string, pulumi.Output<number>> {
  const auto = forwards.filter(({ remotePort }) => remotePort === "auto");
  return Object.fromEntries(
    auto.map(({ name }) => [
      name,
      new random.RandomInteger(nameOf(name), { min: first, max: last }, opts).result,
    ]),
  );
}

/**
 * The port of each forward. It is known at once if the settings name it. For `auto`, it comes from the output of a
 * script that has {@link remotePorts} among its parts, and must be in the range. If that script is to run again, a
 * preview uses the start instead, which is nearly always right; the preview of a change to another forward then need
 * not print "[unknown]".
 */
export function portsFrom(
  host: Host,
  stdout: pulumi.Output<string>,
  {
    forwards,
    portRange: { first, last },
    starts,
  }: Pick<RemotePortsArgs, "forwards" | "portRange"> & { starts: Record<string, pulumi.Output<number>> },
): pulumi.Output<number>[] {
  return forwards.map(({ name, remotePort }) => {
    if (remotePort !== "auto") return pulumi.output(remotePort);
    const start = `port ${name} `;
    const port = stdout.apply((text) => {
      const line = printedLine(text, start);
      const number = Number(line.slice(start.length));
      const fits =
        line === `${start}${number}` && Number.isInteger(number) && number >= first && number <= last;
      validateOutput(host.name, line, fits, `the port of the forward '${name}'`);
      return number;
    });
    return knownOr(starts[name]!, port);
  });
}

/** The port of a forward for a part that runs in the same visit as {@link remotePorts}. */
export function portInVisit({ name, remotePort }: Forward): string {
  return remotePort === "auto" ? `@${name}@` : String(remotePort);
}
