import { createRequire } from "node:module";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { ANSWER_PORT } from "../pair.ts";
import type { Tool } from "./tool.ts";

/** This project, as `pulumi up` sets it up with its default settings. */
export const project: Tool = {
  id: "project",
  title: "this project",
  settings:
    "default settings, with a forward to sshd and a login back beside the forward that is measured, as in the README",
  port: 8001,
  version: (createRequire(import.meta.url)("../../package.json") as { version: string }).version,
  client: { process: "ssh", unit: ({ nas }) => `ssh-tunnel-${nas.name}` },
  async install({ lab, gate, nas }) {
    const stack = await openProgram(lab, {
      stack: `bench-${nas.name}`,
      config: {
        publicHosts: { [gate.name]: labAdmin(lab, gate) },
        internalHosts: {
          [nas.name]: {
            ...labAdmin(lab, nas),
            forwards: {
              answer: { remotePort: project.port, target: ANSWER_PORT, listen: "all" },
              ssh: { remotePort: 2222, target: 22 },
            },
            logins: [{ from: "root", to: "root" }],
          },
        },
      },
    });
    await stack.up();
  },
};

/** The same, through a proxy in front of the public host. */
export const projectByProxy: Tool = {
  id: "project-proxy",
  title: "this project, by proxy",
  settings:
    "default settings and one forward, through Debian's tinyproxy, which runs on the public host, so that each fault hits it as well",
  port: 8008,
  version: project.version!,
  packages: ["tinyproxy"],
  client: { process: "ssh", unit: ({ nas }) => `ssh-tunnel-${nas.name}-proxy` },
  async install(pair) {
    const { lab, gate, nas } = pair;
    const network = gate.address.replace(/\d+$/, "0/24");
    const lines = ["User tinyproxy", "Group tinyproxy", "Port 8888", "MaxClients 100", "ConnectPort 22"];
    await pair.put(gate, "/etc/tinyproxy/tinyproxy.conf", [...lines, `Allow ${network}`, ""].join("\n"));
    await gate.run("systemctl restart tinyproxy");
    const stack = await openProgram(lab, {
      stack: `bench-${nas.name}-proxy`,
      config: {
        publicHosts: { [gate.name]: labAdmin(lab, gate) },
        internalHosts: {
          [`${nas.name}-proxy`]: {
            ...labAdmin(lab, nas),
            proxy: { url: `http://${gate.address}:8888` },
            forwards: { answer: { remotePort: projectByProxy.port, target: ANSWER_PORT, listen: "all" } },
          },
        },
      },
    });
    await stack.up();
  },
};
