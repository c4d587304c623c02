// Serves resources to the engine over its provider protocol. `@pulumi/pulumi/provider` has a server too,
// but it has no previews, detailed differences or logging, which the official providers do have.
import * as grpc from "@grpc/grpc-js";
import engineRpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineMessages from "@pulumi/pulumi/proto/engine_pb.js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import messages from "@pulumi/pulumi/proto/provider_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import structMessages from "google-protobuf/google/protobuf/struct_pb.js";
import type { Changes, Properties } from "./values.ts";

type Struct = structMessages.Struct;

/** What a provider is told beside the properties. */
export interface Context {
  /** The resource's own name. */
  name: string;
  preview: boolean;
  /** Tells the engine something: a status shows while the resource is worked on, the others stay. */
  log: (severity: "status" | "info" | "warning" | "error", text: string) => void;
  /** Aborted when the user interrupts the deployment. */
  signal: AbortSignal;
}

/** What is wrong with one input. */
export interface Failure {
  property: string;
  reason: string;
}

/** One kind of resource. Properties come with their secret marks, and keep them in what is returned. */
export interface ResourceKind {
  check(inputs: Properties): { inputs: Properties; failures?: Failure[] };
  /** The changed properties by path, and which of those paths ask for a replacement. */
  diff(oldInputs: Properties, inputs: Properties): { changes: Changes; replaces: string[] };
  create(inputs: Properties, context: Context): Promise<{ id: string; state: Properties }>;
  update(inputs: Properties, state: Properties, context: Context): Promise<Properties>;
  delete(state: Properties, context: Context): Promise<void>;
}

/** A provider: its name, the official provider's version that it stands in for, its resources by type. */
export interface Provider {
  name: string;
  version: string;
  resources: Record<string, ResourceKind>;
}

/** Serves until the engine ends the process. The engine passes its own address as the first argument. */
export async function serve(provider: Provider, engineAddress = process.argv[2]): Promise<void> {
  const engine =
    engineAddress === undefined
      ? undefined
      : new engineRpc.EngineClient(engineAddress, grpc.credentials.createInsecure());
  const interrupted = new AbortController();

  const kindOf = (urn: string): ResourceKind => {
    const kind = provider.resources[typeOf(urn)];
    if (!kind) throw new Error(`the lab's stand-in for the ${provider.name} provider has no ${typeOf(urn)}`);
    return kind;
  };
  const log = (urn: string, severity: "status" | "info" | "warning" | "error", text: string): void => {
    const { LogRequest, LogSeverity } = engineMessages;
    const levels = {
      status: LogSeverity.INFO,
      info: LogSeverity.INFO,
      warning: LogSeverity.WARNING,
      error: LogSeverity.ERROR,
    };
    const request = new LogRequest();
    request
      .setSeverity(levels[severity])
      .setMessage(text)
      .setUrn(urn)
      .setEphemeral(severity === "status");
    engine?.log(request, () => undefined);
  };
  const contextOf = (urn: string, preview: boolean): Context => ({
    name: nameOf(urn),
    preview,
    log: (severity, text) => log(urn, severity, text),
    signal: interrupted.signal,
  });

  const server = new grpc.Server({
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
  });
  server.addService(providerRpc.ResourceProviderService, {
    getPluginInfo: answer(() => new pluginMessages.PluginInfo().setVersion(provider.version)),
    attach: answer(() => new emptyMessages.Empty()),
    configure: answer(() => {
      log(
        "",
        "status",
        `the lab's stand-in for the ${provider.name} provider ${provider.version} is at work`,
      );
      return new messages.ConfigureResponse().setAcceptsecrets(true).setSupportspreview(true);
    }),
    cancel: answer(() => {
      interrupted.abort();
      return new emptyMessages.Empty();
    }),
    check: answer((request: messages.CheckRequest) => {
      const { inputs, failures = [] } = kindOf(request.getUrn()).check(properties(request.getNews()));
      const list = failures.map(({ property, reason }) =>
        new messages.CheckFailure().setProperty(property).setReason(reason),
      );
      return new messages.CheckResponse().setInputs(struct(inputs)).setFailuresList(list);
    }),
    diff: answer((request: messages.DiffRequest) => {
      const kind = kindOf(request.getUrn());
      return diffResponse(kind.diff(properties(request.getOldInputs()), properties(request.getNews())));
    }),
    create: answer(async (request: messages.CreateRequest) => {
      const context = contextOf(request.getUrn(), request.getPreview());
      const created = await kindOf(request.getUrn()).create(properties(request.getProperties()), context);
      return new messages.CreateResponse().setId(created.id).setProperties(struct(created.state));
    }),
    update: answer(async (request: messages.UpdateRequest) => {
      const context = contextOf(request.getUrn(), request.getPreview());
      const [inputs, state] = [properties(request.getNews()), properties(request.getOlds())];
      const updated = await kindOf(request.getUrn()).update(inputs, state, context);
      return new messages.UpdateResponse().setProperties(struct(updated));
    }),
    delete: answer(async (request: messages.DeleteRequest) => {
      const context = contextOf(request.getUrn(), false);
      await kindOf(request.getUrn()).delete(properties(request.getProperties()), context);
      return new emptyMessages.Empty();
    }),
    // There is nothing to read back: a refresh leaves everything as it is.
    read: answer((request: messages.ReadRequest) =>
      new messages.ReadResponse()
        .setId(request.getId())
        .setProperties(request.getProperties())
        .setInputs(request.getInputs()),
    ),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  // The engine reads the port from the first line.
  process.stdout.write(`${port}\n`);
}

function diffResponse(difference: { changes: Changes; replaces: string[] }): messages.DiffResponse {
  const { Kind } = messages.PropertyDiff;
  const response = new messages.DiffResponse().setHasdetaileddiff(true);
  for (const [path, change] of difference.changes) {
    const replaces = difference.replaces.includes(path);
    const kinds = {
      add: replaces ? Kind.ADD_REPLACE : Kind.ADD,
      delete: replaces ? Kind.DELETE_REPLACE : Kind.DELETE,
      update: replaces ? Kind.UPDATE_REPLACE : Kind.UPDATE,
    };
    response.getDetaileddiffMap().set(path, new messages.PropertyDiff().setKind(kinds[change]));
  }
  const heads = (paths: Iterable<string>) => [
    ...new Set([...paths].map((path) => path.split(/[.[]/)[0] ?? path)),
  ];
  const { DIFF_SOME, DIFF_NONE } = messages.DiffResponse.DiffChanges;
  return response
    .setChanges(difference.changes.size > 0 ? DIFF_SOME : DIFF_NONE)
    .setDiffsList(heads(difference.changes.keys()))
    .setReplacesList(heads(difference.replaces));
}

/** One method of the protocol; what it throws becomes the resource's error, word for word. */
function answer<Request, Response>(
  handle: (request: Request) => Response | Promise<Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handle(call.request))
      .then(
        (response) => callback(null, response),
        (error: unknown) => {
          const details = error instanceof Error ? error.message : String(error);
          callback({ code: grpc.status.UNKNOWN, details });
        },
      );
  };
}

function properties(from: Struct | undefined): Properties {
  return from?.toJavaScript() ?? {};
}

function struct(from: Properties): Struct {
  const known = Object.entries(from).filter(([, value]) => value !== undefined);
  return structMessages.Struct.fromJavaScript(
    Object.fromEntries(known) as Parameters<typeof structMessages.Struct.fromJavaScript>[0],
  );
}

/** `urn:pulumi:stack::project::parent$type::name` → `type`. */
function typeOf(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}

function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}
