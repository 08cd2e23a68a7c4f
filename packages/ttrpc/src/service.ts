/** Reads and writes one message type; the generated classes satisfy it. What they write may be looser than what they read. */
export interface MessageType<Decoded, Encodable = Decoded> {
  encode(message: Encodable): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Decoded;
}

export type AnyMessageType = MessageType<unknown, never>;
export type MethodKind = "unary" | "serverStream" | "clientStream" | "bidi";

export interface MethodDefinition {
  readonly kind: MethodKind;
  readonly request: AnyMessageType;
  readonly response: AnyMessageType;
}

/** A service: its wire name and its methods. Generated code has one for each service block. */
export interface ServiceDefinition {
  readonly name: string;
  readonly methods: { readonly [method: string]: MethodDefinition };
}

export type Decoded<M> = M extends { decode(bytes: Uint8Array): infer T } ? T : never;
export type Encodable<M> = M extends { encode(message: infer T): unknown } ? T : never;

/** What the server tells a handler about its call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  /** Aborts with a TtrpcError when the caller's deadline passes, the caller is gone, or the server is destroyed. */
  readonly signal: AbortSignal;
  /** Keys in lower case. */
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  /** When the caller stops waiting; undefined when it set no timeout. */
  readonly deadline: Date | undefined;
}

interface HandlerByKind<Request, Response> {
  unary: (request: Request, context: CallContext) => Promise<Response>;
  serverStream: (request: Request, context: CallContext) => AsyncIterable<Response>;
  clientStream: (requests: AsyncIterable<Request>, context: CallContext) => Promise<Response>;
  bidi: (requests: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Response>;
}

export type Handler<M extends MethodDefinition> = HandlerByKind<
  Decoded<M["request"]>,
  Encodable<M["response"]>
>[M["kind"]];

/** A method without a handler is answered with Unimplemented. */
export type Handlers<S extends ServiceDefinition> = {
  readonly [Method in keyof S["methods"]]?: Handler<S["methods"][Method]>;
};

/** A method's handler with its types erased: the wire is where they are established. */
export type AnyHandler = (input: never, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

export interface ServiceImplementation {
  readonly service: ServiceDefinition;
  readonly handlers: ReadonlyMap<string, AnyHandler>;
}

/** Defines a service that no .proto file describes. */
export function defineService<const Methods extends ServiceDefinition["methods"]>(
  name: string,
  methods: Methods,
): { readonly name: string; readonly methods: Methods } {
  return { name, methods };
}

/** Joins a service and its handlers, which may be an object with methods: they are called on it. */
export function implement<S extends ServiceDefinition>(service: S, handlers: Handlers<S>): ServiceImplementation {
  const found = new Map<string, AnyHandler>();
  for (const method of Object.keys(service.methods)) {
    const handler = (handlers as { readonly [method: string]: AnyHandler | undefined })[method];
    if (handler !== undefined) found.set(method, handler.bind(handlers));
  }
  return { service, handlers: found };
}
