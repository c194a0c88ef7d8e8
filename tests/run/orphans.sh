# A program that ends before its children: its end is seen at once, and they go on.
(sleep 0.3; echo later >>file) &
(sleep 0.2; kill -0 $$ 2>/dev/null; echo "parent there: $?" >>file) &
echo ended
