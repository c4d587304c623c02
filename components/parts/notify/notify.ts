import * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import { RemoteComponent } from "../../remote/remoteComponent.ts";
import type { Part } from "../../remote/remoteScript.ts";
import { ownerId } from "../../remote/remoteScript.ts";
import { Program } from "../../remote/scriptText.ts";
import { forNamespaces, renderNotifyUnit, renderTimer } from "../../render/systemdUnits.ts";
import { inputError } from "../../settings/inputError.ts";
import { healthUnits } from "../healthCheck/healthCheck.ts";

/** Who is told that a tunnel is down or back, and how. */
export interface NotifySettings {
  /** A shell command, or a script that begins with `#!`. */
  command: string;
  /** Seconds for which a change must have lasted. @default 120 */
  delaySec?: number;
  /** What the command finds in the file `$SECRET_FILE`. @default none */
  secret?: pulumi.Input<string> | undefined;
  /** An existing account that runs the command. @default one that systemd makes */
  account?: string | undefined;
}

/** Arguments of {@link notify}. */
export interface NotifyArgs {
  /** The public host. */
  host: Host;
  /** @see NotifySettings */
  notify: NotifySettings;
}

/** Seconds between two looks at what the health check has kept. */
const intervalSec = 15;

/** Runs a command on a public host when a tunnel of the stack goes down there, and when it is back. */
export function notify({ host, notify: settings }: NotifyArgs): Part {
  const { command, delaySec = 120, secret, account } = settings;
  if (host.namespaces === false && account === undefined) {
    throw inputError(
      `${host.name}: notify must have an 'account' if 'namespaces' is false, since systemd makes one only with namespaces`,
    );
  }
  const owner = ownerId();
  const units = `ssh-tunnels-${owner}-notify`;
  const folder = `/etc/ssh-reverse-tunnel/${units}`;
  const programs = `${toolsDirectoryOf(host)}/${owner}/bin`;
  const description = `Notifications about the reverse SSH tunnels of ${owner}`;
  const health = healthUnits();
  const unit = renderNotifyUnit({
    description,
    account,
    directory: units,
    secretFile: secret === undefined ? undefined : `${folder}/secret`,
    command: [
      `${programs}/notify`,
      ...[`/etc/ssh-reverse-tunnel/${health}`, `/run/${health}`],
      ...[String(delaySec), `${programs}/notify-command`],
    ],
  });
  return {
    script: "notify",
    values: {
      UNITS: units,
      SERVICE_UNIT: forNamespaces(unit, host),
      TIMER_UNIT: renderTimer({ description, service: `${units}.service`, intervalSec }),
      ACCOUNT: account ?? "",
      PROGRAMS: programs,
      NOTIFY_PROGRAM: new Program("notify"),
      COMMAND: command.startsWith("#!") ? command.trimEnd() : `#!/bin/sh\n${command.trimEnd()}`,
      FOLDER: folder,
      SECRET: secret === undefined ? "" : pulumi.secret(secret),
    },
  };
}

/** {@link notify} as a component. */
export class Notify extends RemoteComponent {
  constructor(name: string, args: NotifyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("Notify", name, opts);
    this.run(`${name}-script`, { host: args.host, what: "the notifications", parts: [notify(args)] });
    this.registerOutputs({});
  }
}
