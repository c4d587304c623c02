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
