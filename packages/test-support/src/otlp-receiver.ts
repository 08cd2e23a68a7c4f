/** Receives OTLP over HTTP like a collector, and decodes it by OpenTelemetry's own schema. */
import http from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

/** OpenTelemetry's .proto files as compiled and published by its own project. */
const schema = createRequire(import.meta.url)("otlp-schema/build/src/generated/root.js") as {
  readonly opentelemetry: {
    readonly proto: {
      readonly collector: {
        readonly trace: { readonly v1: { readonly ExportTraceServiceRequest: MessageType } };
        readonly metrics: { readonly v1: { readonly ExportMetricsServiceRequest: MessageType } };
      };
    };
  };
};

interface MessageType {
  decode(bytes: Uint8Array): object;
  toObject(message: object, options: object): object;
  /** Why an object is not of this type; null if it is. */
  verify(object: object): string | null;
}

export type Value = string | number | boolean;
export type Values = { readonly [name: string]: Value };

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the root of a trace. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client. */
  readonly kind: number;
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly ended: number;
  readonly attributes: Values;
  readonly events: readonly { readonly name: string; readonly attributes: Values }[];
  /** 0 unset, 1 ok, 2 error. */
  readonly status: { readonly code: number; readonly message: string };
  readonly resource: Values;
}

export interface ReceivedPoint {
  readonly attributes: Values;
  /** Of a gauge or sum; of a histogram, the sum. */
  readonly value: number;
  /** Of a histogram. */
  readonly count?: number;
}

export interface ReceivedMetric {
  readonly name: string;
  readonly unit: string;
  readonly kind: "gauge" | "sum" | "histogram";
  readonly points: readonly ReceivedPoint[];
  readonly resource: Values;
}

export interface ReceivedRequest {
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly bytes: number;
}

/** What the receiver does with an export: takes it, never answers, says that it is busy, or answers with garbage. */
export type Manner = "take" | "hang" | "busy" | "garbage";

interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  readonly intValue?: string | number;
  readonly doubleValue?: number;
}

type KeyValues = readonly { readonly key: string; readonly value: AnyValue }[] | undefined;

export class OtlpReceiver implements AsyncDisposable {
  readonly #server = http.createServer((request, response) => void this.#take(request, response));
  readonly requests: ReceivedRequest[] = [];
  readonly spans: ReceivedSpan[] = [];
  /** In the order of their arrival; a metric comes once per export. */
  readonly metrics: ReceivedMetric[] = [];
  /** What could not be decoded. */
  readonly problems: string[] = [];
  manner: Manner = "take";

  static async listen(): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The metric as it was exported last. */
  last(name: string): ReceivedMetric | undefined {
    return this.metrics.findLast((metric) => metric.name === name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const sent = Buffer.concat(chunks);
    this.requests.push({ path: request.url ?? "", headers: request.headers, bytes: sent.length });
    switch (this.manner) {
      case "hang":
        return;
      case "busy":
        response.writeHead(503, { "retry-after": "1" }).end();
        return;
      case "garbage":
        response
          .writeHead(200, { "content-type": "application/x-protobuf" })
          .end(Buffer.from([0xff, 0xff, 0xff, 0x07]));
        return;
      case "take":
        this.#decode(request, request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent);
        response.writeHead(200, { "content-type": request.headers["content-type"] }).end();
    }
  }

  #decode({ url, headers }: http.IncomingMessage, body: Buffer): void {
    const { trace, metrics } = schema.opentelemetry.proto.collector;
    const isJson = headers["content-type"] === "application/json";
    try {
      if (url === "/v1/traces") this.#addSpans(read(trace.v1.ExportTraceServiceRequest, body, isJson));
      else if (url === "/v1/metrics") this.#addMetrics(read(metrics.v1.ExportMetricsServiceRequest, body, isJson));
      else this.problems.push(`unknown path ${url}`);
    } catch (error) {
      this.problems.push(String(error));
    }
  }

  #addSpans(request: Message): void {
    for (const { resource, scopeSpans } of list(request.resourceSpans)) {
      for (const scope of list(scopeSpans)) {
        for (const span of list(scope.spans)) {
          this.spans.push({
            traceId: hex(span.traceId),
            spanId: hex(span.spanId),
            parentSpanId: hex(span.parentSpanId),
            traceState: span.traceState ?? "",
            name: span.name,
            kind: Number(span.kind),
            began: Number(span.startTimeUnixNano) / 1e6,
            ended: Number(span.endTimeUnixNano) / 1e6,
            attributes: values(span.attributes),
            events: list(span.events).map(({ name, attributes }) => ({ name, attributes: values(attributes) })),
            status: { code: Number(span.status?.code ?? 0), message: span.status?.message ?? "" },
            resource: values(resource?.attributes),
          });
        }
      }
    }
  }

  #addMetrics(request: Message): void {
    for (const { resource, scopeMetrics } of list(request.resourceMetrics)) {
      for (const scope of list(scopeMetrics)) {
        for (const { name, unit, gauge, sum, histogram } of list(scope.metrics)) {
          const kind = gauge ? "gauge" : sum ? "sum" : "histogram";
          const points = list((gauge ?? sum ?? histogram)?.dataPoints).map((point) => ({
            attributes: values(point.attributes),
            value: Number(point.asDouble ?? point.asInt ?? point.sum ?? 0),
            ...(kind === "histogram" && { count: Number(point.count) }),
          }));
          this.metrics.push({ name, unit, kind, points, resource: values(resource?.attributes) });
        }
      }
    }
  }
}

// biome-ignore lint/suspicious/noExplicitAny: what protobufjs makes of a message has no type.
type Message = any;

/** As plain objects; 64-bit numbers as text, ids as bytes or, in JSON, as hexadecimal digits. */
function read(type: MessageType, body: Buffer, isJson: boolean): Message {
  if (!isJson) return type.toObject(type.decode(body), { longs: String });
  const parsed = JSON.parse(body.toString("utf8")) as object;
  const problem = type.verify(withBytes(parsed) as object);
  if (problem !== null) throw new Error(`invalid JSON: ${problem}`);
  return parsed;
}

/** The same with ids as bytes, as the schema has them: OTLP's JSON writes them in hexadecimal digits. */
function withBytes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withBytes);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      if (/^(traceId|spanId|parentSpanId)$/.test(name)) return [name, Buffer.from(String(member), "hex")];
      if (/(UnixNano|^count|^asInt|^intValue)$/.test(name)) return [name, Number(member)];
      if (name === "bucketCounts") return [name, (member as readonly string[]).map(Number)];
      return [name, withBytes(member)];
    }),
  );
}

function list(items: Message): readonly Message[] {
  return items ?? [];
}

function hex(id: string | Uint8Array | undefined): string {
  return typeof id === "string" ? id : Buffer.from(id ?? []).toString("hex");
}

function values(pairs: KeyValues): Values {
  return Object.fromEntries(
    (pairs ?? []).map(({ key, value }) => {
      const { stringValue, boolValue, intValue, doubleValue } = value;
      return [key, stringValue ?? boolValue ?? doubleValue ?? (intValue === undefined ? "" : Number(intValue))];
    }),
  );
}
