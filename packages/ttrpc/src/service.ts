/** Encodes and decodes one message type; satisfied by generated classes, which accept more than they return. */
export interface MessageType<Decoded, Encodable = Decoded> {
  encode(message: Encodable): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Decoded;
}

/** A type of message, whichever. */
export type AnyMessageType = MessageType<unknown, never>;
/** Which of a method's two directions are streams: neither, the response, the request, or both. */
export type MethodKind = "unary" | "serverStream" | "clientStream" | "bidi";

/** A method's kind and its messages, as `defineService` and generated code say it. */
export interface MethodDefinition {
  readonly kind: MethodKind;
  readonly request: AnyMessageType;
  readonly response: AnyMessageType;
}

/** A service's wire name and methods. Generated code has one for each service block. */
export interface ServiceDefinition {
  readonly name: string;
  readonly methods: { readonly [method: string]: MethodDefinition };
}

/** A message as it is received: every field is present. */
export type Decoded<M> = M extends { decode(bytes: Uint8Array): infer T } ? T : never;
/** A message as it is sent: fields may be left out. */
export type Encodable<M> = M extends { encode(message: infer T): unknown } ? T : never;

/** Passed to a handler with each call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  /** Aborts with a TtrpcError when the caller's deadline passes, the caller is gone, or the server is destroyed. */
  readonly signal: AbortSignal;
  /** Keys are in lower case. */
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  /** When the caller stops waiting; undefined when it set no timeout. */
  readonly deadline: Date | undefined;
}

/**
 * Wraps every call; the caller gets what it throws. `request` returns the decoded request, or the iterable of requests, and
 * throws for one that cannot be decoded, as `next` does.
 */
export type Interceptor = <T>(context: CallContext, next: () => Promise<T>, request: () => unknown) => Promise<T>;

interface HandlerByKind<Request, Response> {
  unary: (request: Request, context: CallContext) => Promise<Response>;
  serverStream: (request: Request, context: CallContext) => AsyncIterable<Response>;
  clientStream: (requests: AsyncIterable<Request>, context: CallContext) => Promise<Response>;
  bidi: (requests: AsyncIterable<Request>, context: CallContext) => AsyncIterable<Response>;
}

/** Answers calls of one method. An error with a `code` of `statusCodes` becomes that status, any other Internal. */
export type Handler<M extends MethodDefinition> = HandlerByKind<
  Decoded<M["request"]>,
  Encodable<M["response"]>
>[M["kind"]];

/** Calls of a method without a handler fail with Unimplemented. */
export type Handlers<S extends ServiceDefinition> = {
  readonly [Method in keyof S["methods"]]?: Handler<S["methods"][Method]>;
};

/** A handler with erased types: the message types are only known on the wire. */
export type AnyHandler = (input: never, context: CallContext) => Promise<unknown> | AsyncIterable<unknown>;

/** A service and the handlers that answer it; made by `implement`. */
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

/** Combines a service with its handlers, which may be methods of an object. */
export function implement<S extends ServiceDefinition>(service: S, handlers: Handlers<S>): ServiceImplementation {
  const found = new Map<string, AnyHandler>();
  for (const method of Object.keys(service.methods)) {
    const handler = (handlers as { readonly [method: string]: AnyHandler | undefined })[method];
    if (handler !== undefined) found.set(method, handler.bind(handlers));
  }
  return { service, handlers: found };
}
