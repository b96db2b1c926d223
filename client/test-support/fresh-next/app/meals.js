'use client';

import { useQuery, useStatus } from 'ryzed-client/react';

export function Meals() {
  const { rows, isLoading } = useQuery('food_entries', { where: { meal_type: 'lunch' } });
  const { state } = useStatus();
  return <p>{`${isLoading ? 'Loading…' : `${rows.length} for lunch`}, ${state}`}</p>;
}
