import { runWindowsAgent } from "./agent.ts";

void runWindowsAgent();
