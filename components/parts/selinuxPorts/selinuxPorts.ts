import type { Part } from "../../remote/remoteScript.ts";

/** Arguments of {@link selinuxPorts}. */
export interface SelinuxPortsArgs {
  /** The TCP ports that sshd listens on for a tunnel; `@forward@` for one that {@link remotePorts} finds in the same visit. */
  ports: string[];
  /** Whether a missing semanage may be installed from the distribution's packages. @default true */
  installPackages?: boolean;
}

/**
 * If SELinux is enabled, gives each port the type `ssh_port_t`, on which sshd may listen. Destroy restores its previous
 * type. Without SELinux, it does nothing and reports that. See semanage-port(8).
 */
export function selinuxPorts(args: SelinuxPortsArgs): Part {
  return {
    script: "selinuxPorts",
    values: {
      PORTS: args.ports.join("\n"),
      INSTALL_PACKAGE: (args.installPackages ?? true) ? "yes" : "no",
    },
  };
}
