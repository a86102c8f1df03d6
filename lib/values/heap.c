#include "values/heap.h"

static void sift(const struct heap *heap, size_t root, size_t end)
{
	for (size_t child; (child = 2 * root + 1) < end; root = child) {
		if (child + 1 < end && heap->before(heap->items, child, child + 1))
			child++;
		if (!heap->before(heap->items, root, child))
			return;
		heap->swap(heap->items, root, child);
	}
}

void heap_sort(const struct heap *heap, size_t number)
{
	for (size_t root = number / 2; root-- > 0;)
		sift(heap, root, number);
	for (size_t end = number; end-- > 1;) {
		heap->swap(heap->items, 0, end);
		sift(heap, 0, end);
	}
}
