import { Suspense } from 'react';
import { Meals } from './meals.js';

export default function Page() {
  return (
    <Suspense fallback="Waiting…">
      <Meals />
    </Suspense>
  );
}
