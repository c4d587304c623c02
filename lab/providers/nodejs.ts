// The lab's stand-in for Pulumi's Node language host, which comes with the official CLI only: runs a project's program in
// a process of its own, with the same script of @pulumi/pulumi and the same arguments.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import languageRpc from "@pulumi/pulumi/proto/language_grpc_pb.js";
import messages from "@pulumi/pulumi/proto/language_pb.js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import { answer, listen } from "./protocol.ts";

/** With this exit status, the program has already said why. */
const HAS_SAID_WHY = 32;

const engineAddress = process.argv.at(-1)!;
const interrupted = new AbortController();

async function run(request: messages.RunRequest): Promise<messages.RunResponse> {
  const info = request.getInfo()!;
  const folder = info.getProgramDirectory();
  const script = createRequire(join(folder, "program.js")).resolve("@pulumi/pulumi/cmd/run/index.js");
  const values: Record<string, string> = {
    monitor: request.getMonitorAddress(),
    engine: engineAddress,
    organization: request.getOrganization(),
    project: request.getProject(),
    "root-directory": info.getRootDirectory(),
    stack: request.getStack(),
    pwd: folder,
    parallel: String(request.getParallel()),
  };
  const given = Object.entries(values).filter(([, value]) => value !== "");
  const args = [
    ...given.flatMap(([name, value]) => [`--${name}`, value]),
    ...(request.getDryrun() ? ["--dry-run"] : []),
    ...[info.getEntryPoint(), ...request.getArgsList()],
  ];
  const config = [...request.getConfigMap().entries()].map(([key, value]) => [
    String(key).replace(":", ":config:"),
    value as unknown,
  ]);
  const program = spawn(process.execPath, [script, ...args], {
    cwd: folder,
    env: {
      ...process.env,
      PULUMI_CONFIG: JSON.stringify(Object.fromEntries(config)),
      PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
    },
    stdio: ["ignore", "inherit", "inherit"],
    signal: interrupted.signal,
    killSignal: "SIGINT",
  });
  // The signal's abort is one.
  program.on("error", () => undefined);
  const [code] = (await once(program, "close")) as [number | null];
  const response = new messages.RunResponse();
  if (code === HAS_SAID_WHY) response.setBail(true);
  else if (code !== 0) response.setError(`Program exited with non-zero exit code: ${code}`);
  return response;
}

const server = new grpc.Server({
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
});
server.addService(languageRpc.LanguageRuntimeService, {
  handshake: answer(() => new messages.LanguageHandshakeResponse()),
  getPluginInfo: answer(() => new pluginMessages.PluginInfo()),
  // The program's packages say which providers it needs.
  getRequiredPlugins: answer(() => new messages.GetRequiredPluginsResponse()),
  getRequiredPackages: answer(() => new messages.GetRequiredPackagesResponse()),
  run: answer(run),
  cancel: answer(() => {
    interrupted.abort();
    return new emptyMessages.Empty();
  }),
});
await listen(server);
