import { createRequire } from "node:module";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { ANSWER_PORT } from "../pair.ts";
import type { Tool } from "./tool.ts";

/** The name of the internal host there: all stacks are on one pair. */
const twoHosts = (nas: { name: string }) => `${nas.name}-two`;

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

/** The same, with a tunnel to each of two public hosts; whoever connects asks at both. */
export const projectWithTwoHosts: Tool = {
  id: "project-two",
  title: "this project, two public hosts",
  settings:
    "default settings and one forward, with a tunnel to each of two public hosts, of which the faults hit the first; the first answer from either counts",
  port: 8009,
  version: project.version!,
  usesSpare: true,
  client: { process: "ssh", unit: ({ gate, nas }) => `ssh-tunnel-${twoHosts(nas)}-${gate.name}` },
  async install({ lab, gate, nas, spare }) {
    const ends = [gate, spare!];
    const stack = await openProgram(lab, {
      stack: `bench-${twoHosts(nas)}`,
      config: {
        publicHosts: Object.fromEntries(ends.map((end) => [end.name, labAdmin(lab, end)])),
        internalHosts: {
          [twoHosts(nas)]: {
            ...labAdmin(lab, nas),
            publicHosts: ends.map(({ name }) => name),
            forwards: {
              answer: { remotePort: projectWithTwoHosts.port, target: ANSWER_PORT, listen: "all" },
            },
          },
        },
      },
    });
    await stack.up();
  },
};
