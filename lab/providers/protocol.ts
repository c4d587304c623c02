// Serves resources to the engine over its provider protocol. `@pulumi/pulumi/provider` has a server too,
// but it has no previews, detailed differences or logging, which the official providers do have.
import * as grpc from "@grpc/grpc-js";
import engineRpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import engineMessages from "@pulumi/pulumi/proto/engine_pb.js";
import pluginMessages from "@pulumi/pulumi/proto/plugin_pb.js";
import providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import messages from "@pulumi/pulumi/proto/provider_pb.js";
import emptyMessages from "google-protobuf/google/protobuf/empty_pb.js";
import type { Properties } from "./values.ts";
import { type Difference, diffResponse, nameOf, properties, struct, typeOf } from "./wire.ts";

/** What a provider gets besides the properties. */
export interface Context {
  /** The resource's own name. */
  name: string;
  preview: boolean;
  /** Shows a line during the operation on the resource. */
  status: (text: string) => void;
  /** Aborted when the user interrupts the deployment. */
  signal: AbortSignal;
}

/** A mistake in one input. */
export interface Failure {
  property: string;
  reason: string;
}

/** One kind of resource. Properties have their secret markers, and keep them in the result. */
export interface ResourceKind {
  check(inputs: Properties): { inputs: Properties; failures?: Failure[] };
  diff(oldInputs: Properties, inputs: Properties): Difference;
  create(inputs: Properties, context: Context): Promise<{ id: string; state: Properties }>;
  update(inputs: Properties, state: Properties, context: Context): Promise<Properties>;
  delete(state: Properties, context: Context): Promise<void>;
}

/** A provider: its name, the version of the official provider that it replaces, and its resources by type. */
export interface Provider {
  name: string;
  version: string;
  resources: Record<string, ResourceKind>;
}

/** Serves until the engine ends the process. The engine passes its address as the first argument. */
export async function serve(provider: Provider, engineAddress = process.argv[2]): Promise<void> {
  const engine =
    engineAddress === undefined
      ? undefined
      : new engineRpc.EngineClient(engineAddress, grpc.credentials.createInsecure());
  const interrupted = new AbortController();
  // One after the other, so that the lines keep their order.
  let logged = Promise.resolve();

  const kindOf = (urn: string): ResourceKind => {
    const kind = provider.resources[typeOf(urn)];
    if (!kind) throw new Error(`the lab's stand-in for the ${provider.name} provider has no ${typeOf(urn)}`);
    return kind;
  };
  const status = (urn: string, text: string): void => {
    if (!engine) return;
    const request = new engineMessages.LogRequest();
    request.setSeverity(engineMessages.LogSeverity.INFO).setUrn(urn).setMessage(text).setEphemeral(true);
    logged = logged.then(() => new Promise((done) => engine.log(request, () => done())));
  };
  /** Answers only when the engine has received all log messages: it accepts none for a finished resource. */
  const work = async <T>(doing: Promise<T>): Promise<T> => doing.finally(() => logged);
  const contextOf = (urn: string, preview: boolean): Context => ({
    name: nameOf(urn),
    preview,
    status: (text) => status(urn, text),
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
      status("", `the lab's stand-in for the ${provider.name} provider ${provider.version} is at work`);
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
      const created = await work(
        kindOf(request.getUrn()).create(properties(request.getProperties()), context),
      );
      return new messages.CreateResponse().setId(created.id).setProperties(struct(created.state));
    }),
    update: answer(async (request: messages.UpdateRequest) => {
      const context = contextOf(request.getUrn(), request.getPreview());
      const [inputs, state] = [properties(request.getNews()), properties(request.getOlds())];
      const updated = await work(kindOf(request.getUrn()).update(inputs, state, context));
      return new messages.UpdateResponse().setProperties(struct(updated));
    }),
    delete: answer(async (request: messages.DeleteRequest) => {
      const context = contextOf(request.getUrn(), false);
      await work(kindOf(request.getUrn()).delete(properties(request.getProperties()), context));
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
  await listen(server);
}

/** Opens a plugin's port, which the engine reads from the first line. */
export async function listen(server: grpc.Server): Promise<void> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error) reject(error);
      else resolve(bound);
    });
  });
  process.stdout.write(`${port}\n`);
}

/** One method of the protocol; an error that it throws becomes the resource's error, word for word. */
export function answer<Request, Response>(
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
