'use client';

import { RyzeRealtimeClient } from 'ryzed-client';
import { RyzedProvider } from 'ryzed-client/react';

const client = new RyzeRealtimeClient('https://sync.example.com', 'token');

export const Provider = ({ children }) => <RyzedProvider client={client}>{children}</RyzedProvider>;
