import type * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { Program } from "./remoteScript.ts";
import { checked } from "./render/checks.ts";
import type { StatusArgs } from "./status.ts";
import { statusValues } from "./status.ts";

/** Arguments of {@link SystemdUnits}. */
export interface SystemdUnitsArgs {
  /** The host. */
  host: Host;
  /** What the units run: a script of ours, `scripts/installed/<source>.sh`, and where it goes. */
  program: { source: string; path: string };
  /** Whose findings they are, where the units are a check of a tunnel: installs what shows them. @default none */
  status?: StatusArgs;
  /** Names and texts of the unit files. */
  units: Record<string, pulumi.Input<string>>;
  /** The one of them that is enabled and started. */
  start: string;
}

/**
 * Unit files below `/etc/systemd/system`, the program that they run, and one of them enabled and running; restarted only
 * where one of the files changed. A unit of that name that is not ours is refused.
 */
export class SystemdUnits extends RemoteComponent {
  constructor(name: string, args: SystemdUnitsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("SystemdUnits", name, opts);
    const texts = Object.values(args.units).map((text, index) => [`UNIT_${index + 1}`, text] as const);
    this.run(`${name}-script`, {
      host: args.host,
      what: args.start,
      parts: [
        {
          script: "systemdUnits",
          values: {
            PROGRAM: checked("path", args.program.path),
            PROGRAM_TEXT: new Program(checked("file", args.program.source)),
            UNITS: Object.keys(args.units)
              .map((unit) => checked("unit", unit))
              .join(" "),
            ...Object.fromEntries(texts),
            START: checked("unit", args.start),
            ...(args.status ? statusValues(args.status) : { STATUS_PROGRAM: "" }),
          },
        },
      ],
    });
    this.registerOutputs({});
  }
}
